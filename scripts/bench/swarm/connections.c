// Opening many connections, sending on them without waiting, and taking whole answers from them.
#define _GNU_SOURCE
#include "swarm.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// A broker's backlog holds 50 connections by default: so many, at most, wait to be accepted.
enum { WAVE = 32, READ_SIZE = 4096, EVENTS = 64 };

const double PATIENCE_S = 60;
static int epoll = -1;

void raise_open_files(size_t needed) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) DIE("getrlimit");
    if (limit.rlim_cur >= needed) return;
    struct rlimit raised = {.rlim_cur = needed, .rlim_max = limit.rlim_max > needed ? limit.rlim_max : needed};
    if (!setrlimit(RLIMIT_NOFILE, &raised)) return;
    fprintf(stderr, "%zu open files are needed, the hard limit is %llu, and it cannot be raised: %s\n", needed,
            (unsigned long long)limit.rlim_max, strerror(errno));
    exit(1);
}

static void watch(struct peer *peer, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(epoll, operation, peer->fd, &event)) DIE("epoll_ctl");
}

// Connects and greets; the greeting's answer is awaited by `greeted`.
static void open_connection(struct peer *peer, int port) {
    static struct bytes greeting;
    struct sockaddr_in address = loopback(port);
    struct timeval patience = {.tv_sec = (time_t)PATIENCE_S};
    int on = 1;
    if ((peer->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) DIE("socket");
    setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(peer->fd, (struct sockaddr *)&address, sizeof address)) DIE("connect");
    if (fcntl(peer->fd, F_SETFL, O_NONBLOCK)) DIE("fcntl");
    watch(peer, EPOLL_CTL_ADD, EPOLLIN);
    build_api_versions(&greeting);
    if (!send_rest(peer, &greeting, NULL)) DIE("greeting");
    peer->sent++;
}

// Reads once; every whole answer is handed on, without its size and correlation id.
static void receive(struct peer *peer, on_answer *answered) {
    struct bytes *in = &peer->in;
    reserve(in, READ_SIZE);
    ssize_t got = recv(peer->fd, in->data + in->size, in->capacity - in->size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        fprintf(stderr, "connection %zu ended after %zu answers to %zu requests: %s\n", peer->index, peer->answered, peer->sent,
                got < 0 ? strerror(errno) : "closed by the broker");
        exit(1);
    }
    double now = seconds();
    in->size += (size_t)got;
    size_t done = 0;
    while (in->size - done >= 4) {
        const uint8_t *at = in->data + done;
        size_t size = (size_t)take32(&at);
        if (in->size - done < 4 + size) break;
        take(&at, 4);
        if (answered) answered(peer, at, size - 4, now);
        peer->answered++;
        done += 4 + size;
    }
    memmove(in->data, in->data + done, in->size - done);
    in->size -= done;
}

static void greeted(struct peer *peer, double deadline) {
    while (peer->answered < peer->sent) {
        struct pollfd readable = {.fd = peer->fd, .events = POLLIN};
        if (seconds() > deadline) {
            fprintf(stderr, "only %zu connections were answered within %.0f s\n", peer->index, PATIENCE_S);
            exit(1);
        }
        if (poll(&readable, 1, 100) > 0) receive(peer, NULL);
    }
    free(peer->in.data);
    peer->in = (struct bytes){0};
    peer->sent = peer->answered = 0;
}

struct peer *connect_all(int port, size_t count) {
    double deadline = seconds() + PATIENCE_S;
    struct peer *peers = calloc(count, sizeof *peers);
    if (!peers || (epoll < 0 && (epoll = epoll_create1(0)) < 0)) DIE("connections");
    for (size_t wave = 0; wave < count; wave += WAVE) {
        size_t end = wave + WAVE < count ? wave + WAVE : count;
        for (size_t index = wave; index < end; index++) peers[index].index = index, open_connection(&peers[index], port);
        for (size_t index = wave; index < end; index++) greeted(&peers[index], deadline);
    }
    return peers;
}

int send_rest(struct peer *peer, const struct bytes *head, const struct bytes *body) {
    size_t total = head->size + (body ? body->size : 0);
    while (peer->part < total) {
        size_t of_head = peer->part < head->size ? peer->part : head->size, of_body = peer->part - of_head;
        struct iovec parts[] = {{head->data + of_head, head->size - of_head},
                                {body ? body->data + of_body : NULL, body ? body->size - of_body : 0}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            if (!peer->blocked) watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            peer->blocked = 1;
            return 0;
        }
        if (sent < 0 && errno != EINTR) DIE("send");
        if (sent > 0) peer->part += (size_t)sent;
    }
    if (peer->blocked) watch(peer, EPOLL_CTL_MOD, EPOLLIN);
    peer->part = 0, peer->blocked = 0;
    return 1;
}

void wait_for_events(double until, on_answer *answered, on_room *has_room) {
    struct epoll_event events[EVENTS];
    double left = until - seconds();
    if (left < 0) left = 0;
    struct timespec timeout = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
    int ready = epoll_pwait2(epoll, events, EVENTS, &timeout, NULL);
    if (ready < 0 && errno != EINTR) DIE("epoll_pwait2");
    for (int index = 0; index < ready; index++) {
        struct peer *peer = events[index].data.ptr;
        if (events[index].events & EPOLLOUT) has_room(peer);
        if (events[index].events & ~(uint32_t)EPOLLOUT) receive(peer, answered);
    }
}

double cpu_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

void wait_for_go(void) {
    puts("ready");
    fflush(stdout);
    for (int byte = getchar(); byte != '\n' && byte != EOF;) byte = getchar();
}

void wait_for_end(void) {
    fflush(stdout);
    while (getchar() != EOF) {}
}
