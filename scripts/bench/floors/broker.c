// A minimal broker: frames requests and acknowledges Produce; may check CRC-32C and append; serves Fetch by sendfile.
#include "crc32c.h"
#include "floors.h"
#include "wire.h"
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024, MAX_PARTITIONS = 1024, READ_SIZE = 1 << 20, ANSWER_SIZE = 1 << 16, BATCH_HEADER = 61 };

struct batch { int64_t base_offset; off_t position; };
struct partition { int fd; off_t size; int64_t end_offset; struct batch *batches; size_t count, capacity; int dirty; };
struct connection { int fd; struct bytes in, out; };

static enum records kept;
static int port, partition_count;
static struct partition partitions[MAX_PARTITIONS];

// Copies a string of the request to the answer.
static void echo_string(struct bytes *out, const uint8_t **at) {
    int16_t size = take16(at);
    put_string(out, take(at, (size_t)size), size);
}

// ---- Records.

static void append(struct partition *log, uint8_t *records, size_t size) {
    for (size_t at = 0; at + BATCH_HEADER <= size;) {
        const uint8_t *length_at = records + at + 8, *crc_at = records + at + 17, *delta_at = records + at + 23;
        size_t batch_size = 12 + (size_t)take32(&length_at);
        if (crc32c(records + at + 21, batch_size - 21) != (uint32_t)take32(&crc_at)) { fprintf(stderr, "bad CRC\n"); exit(1); }
        uint64_t base = htobe64((uint64_t)log->end_offset);
        memcpy(records + at, &base, 8);
        if (log->count == log->capacity) {
            log->capacity = log->capacity ? log->capacity * 2 : 1024;
            if (!(log->batches = realloc(log->batches, log->capacity * sizeof *log->batches))) DIE("realloc");
        }
        log->batches[log->count++] = (struct batch){log->end_offset, log->size + (off_t)at};
        log->end_offset += take32(&delta_at) + 1;
        at += batch_size;
    }
    if (write(log->fd, records, size) != (ssize_t)size) DIE("append");
    log->size += (off_t)size;
    log->dirty = 1;
}

static void sync_dirty(void) {
    for (int index = 0; index < partition_count; index++)
        if (partitions[index].dirty) {
            if (kept == RECORDS_SYNCED && fdatasync(partitions[index].fd)) DIE("fdatasync");
            partitions[index].dirty = 0;
        }
}

// ---- The requests.

static void answer_api_versions(struct bytes *out, int16_t version) {
    static const int16_t served[][3] = {{PRODUCE, 3, 7}, {FETCH, 4, 4}, {LIST_OFFSETS, 1, 1}, {METADATA, 1, 1}, {API_VERSIONS, 0, 0}};
    put16(out, version > 0 ? 35 : 0);
    put32(out, sizeof served / sizeof *served);
    for (size_t row = 0; row < sizeof served / sizeof *served; row++)
        for (int column = 0; column < 3; column++) put16(out, served[row][column]);
}

static void answer_metadata(struct bytes *out, const uint8_t *at) {
    put32(out, 1), put32(out, 1), put_string(out, "127.0.0.1", 9), put32(out, port), put16(out, -1);
    put32(out, 1);
    int32_t topics = take32(&at);
    put32(out, topics < 0 ? 0 : topics);
    for (; topics > 0; topics--) {
        put16(out, 0), echo_string(out, &at), put(out, "", 1), put32(out, partition_count);
        for (int index = 0; index < partition_count; index++) {
            put16(out, 0), put32(out, index), put32(out, 1);
            put32(out, 1), put32(out, 1), put32(out, 1), put32(out, 1);
        }
    }
}

static void answer_produce(struct bytes *out, const uint8_t *at, int16_t version) {
    int16_t id = take16(&at);
    if (id > 0) take(&at, (size_t)id);
    take(&at, 6);
    int32_t topics = take32(&at);
    for (put32(out, topics); topics > 0; topics--) {
        echo_string(out, &at);
        int32_t count = take32(&at);
        for (put32(out, count); count > 0; count--) {
            int32_t index = take32(&at), size = take32(&at);
            uint8_t *records = (uint8_t *)take(&at, (size_t)size);
            struct partition *log = &partitions[index];
            int64_t base = log->end_offset;
            if (kept != RECORDS_DROPPED) append(log, records, (size_t)size);
            put32(out, index), put16(out, 0), put64(out, base), put64(out, -1);
            if (version >= 5) put64(out, 0);
        }
    }
    put32(out, 0);
}

static void answer_list_offsets(struct bytes *out, const uint8_t *at) {
    take(&at, 4);
    int32_t topics = take32(&at);
    for (put32(out, topics); topics > 0; topics--) {
        echo_string(out, &at);
        int32_t count = take32(&at);
        for (put32(out, count); count > 0; count--) {
            int32_t index = take32(&at);
            int64_t timestamp = take64(&at);
            put32(out, index), put16(out, 0), put64(out, -1), put64(out, timestamp == -2 ? 0 : partitions[index].end_offset);
        }
    }
}

// Where the batch that holds an offset begins; the size of the log when none does.
static off_t position_of(const struct partition *log, int64_t offset) {
    if (offset >= log->end_offset) return log->size;
    size_t low = 0, high = log->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (log->batches[middle].base_offset <= offset) low = middle; else high = middle;
    }
    return log->batches[low].position;
}

// Sends, and holds back what is no full packet.
static void send_all(int fd, const void *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_MORE);
        if (sent < 0) return; // The reader has gone; the next read of its socket says so.
        data = (const uint8_t *)data + sent, size -= (size_t)sent;
    }
}

// Two passes over the partitions: the size of the answer must go first. Sockets block here, one reader at a time.
static void answer_fetch(struct connection *peer, int32_t correlation, const uint8_t *request) {
    const uint8_t *at = request;
    take(&at, 12);
    int32_t room = take32(&at);
    take(&at, 1 + 4);
    int16_t name_size = take16(&at);
    const uint8_t *name = take(&at, (size_t)name_size);
    int32_t count = take32(&at);
    static struct { int32_t index; off_t position, size; } slices[MAX_PARTITIONS];
    int64_t total = 4 + 4 + 4 + 2 + name_size + 4;
    for (int slice = 0; slice < count; slice++) {
        int32_t index = take32(&at);
        int64_t offset = take64(&at);
        off_t size = take32(&at), position = position_of(&partitions[index], offset), left = partitions[index].size - position;
        if (size > left) size = left;
        if (size > room) size = room;
        room -= (int32_t)size;
        slices[slice].index = index, slices[slice].position = position, slices[slice].size = size;
        total += 4 + 2 + 8 + 8 + 4 + 4 + size;
    }
    struct bytes *out = &peer->out;
    put32(out, (int32_t)total), put32(out, correlation), put32(out, 0), put32(out, 1);
    put_string(out, name, name_size), put32(out, count);
    for (int slice = 0; slice < count; slice++) {
        struct partition *log = &partitions[slices[slice].index];
        put32(out, slices[slice].index), put16(out, 0), put64(out, log->end_offset), put64(out, log->end_offset), put32(out, -1);
        put32(out, (int32_t)slices[slice].size);
        send_all(peer->fd, out->data, out->size);
        out->size = 0;
        off_t position = slices[slice].position;
        for (size_t left = (size_t)slices[slice].size; left > 0;) {
            ssize_t sent = sendfile(peer->fd, log->fd, &position, left);
            if (sent <= 0) return;
            left -= (size_t)sent;
        }
    }
}

static void handle(struct connection *peer, const uint8_t *frame) {
    const uint8_t *at = frame;
    int16_t api = take16(&at), version = take16(&at);
    int32_t correlation = take32(&at);
    int16_t client = take16(&at);
    if (client > 0) take(&at, (size_t)client);
    if (api == FETCH) { answer_fetch(peer, correlation, at); return; }
    struct bytes *out = &peer->out;
    size_t start = out->size;
    put32(out, 0), put32(out, correlation);
    switch (api) {
    case PRODUCE: answer_produce(out, at, version); break;
    case LIST_OFFSETS: answer_list_offsets(out, at); break;
    case METADATA: answer_metadata(out, at); break;
    default: answer_api_versions(out, version);
    }
    set32(out, start, (uint32_t)(out->size - start - 4));
}

// ---- The loop.

// Reads once and handles whole frames; whether the peer is still there.
static int read_from(struct connection *peer) {
    struct bytes *in = &peer->in;
    if (in->capacity - in->size < READ_SIZE) {
        in->capacity = in->size + 2 * READ_SIZE;
        if (!(in->data = realloc(in->data, in->capacity))) DIE("realloc");
    }
    ssize_t got = recv(peer->fd, in->data + in->size, in->capacity - in->size, 0);
    if (got <= 0) return 0;
    in->size += (size_t)got;
    size_t done = 0;
    while (in->size - done >= 4) {
        const uint8_t *at = in->data + done;
        size_t size = 4 + (size_t)take32(&at);
        if (in->size - done < size) break;
        handle(peer, at);
        done += size;
    }
    memmove(in->data, in->data + done, in->size - done);
    in->size -= done;
    return 1;
}

static void flush_answers(struct connection *peer) {
    if (peer->out.size > 0 && send(peer->fd, peer->out.data, peer->out.size, 0) != (ssize_t)peer->out.size) DIE("answer");
    peer->out.size = 0;
    int on = 1; // Sends what MSG_MORE held back.
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void open_partitions(const char *directory) {
    for (int index = 0; index < partition_count; index++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d.log", directory, index);
        if ((partitions[index].fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_APPEND, 0644)) < 0) DIE(path);
    }
}

static void accept_from(int epoll, int listener) {
    struct connection *peer = calloc(1, sizeof *peer);
    if ((peer->fd = accept(listener, NULL, NULL)) < 0) DIE("accept");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &event)) DIE("epoll_ctl");
}

void serve(enum records what, int on_port, int count, const char *directory) {
    kept = what, port = on_port, partition_count = count;
    crc_prepare();
    signal(SIGPIPE, SIG_IGN);
    open_partitions(directory);
    int listener = listen_on(port), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[MAX_CONNECTIONS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, MAX_CONNECTIONS, -1);
        for (int index = 0; index < ready; index++) {
            struct connection *peer = events[index].data.ptr;
            if (!peer) {
                accept_from(epoll, listener);
            } else if (!read_from(peer)) {
                close(peer->fd), free(peer->in.data), free(peer->out.data), free(peer);
                events[index].data.ptr = NULL;
            }
        }
        // Group commit: one sync for all requests that were there, then their answers.
        sync_dirty();
        for (int index = 0; index < ready; index++)
            if (events[index].data.ptr) flush_answers(events[index].data.ptr);
    }
}
