// The floors' command line.
//   floors ack|append|sync PORT PARTITIONS DIRECTORY    a minimal broker
//   floors sink PORT | source PORT BYTES                loopback TCP; the source prints bytes per second
//   floors write FILE BYTES | read FILE                 page cache write, sequential read; bytes per second
#include "floors.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 1 << 20, SEND_BLOCK = 1 << 18 };
static char block[BLOCK];

int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = loopback(port);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) DIE("listen");
    return listener;
}

// Reads all that one peer sends, then confirms it with one byte.
static void sink(int port) {
    int listener = listen_on(port);
    int peer = accept(listener, NULL, NULL);
    while (recv(peer, block, sizeof block, 0) > 0) {}
    if (write(peer, "", 1) != 1) DIE("sink");
}

static double source(int port, long size) {
    struct sockaddr_in address = loopback(port);
    int peer = socket(AF_INET, SOCK_STREAM, 0), tries = 0;
    // The sink may not listen yet.
    while (connect(peer, (struct sockaddr *)&address, sizeof address)) {
        if (++tries > 500) DIE("connect");
        usleep(10000);
    }
    double start = seconds();
    for (long sent = 0; sent < size;) {
        ssize_t more = send(peer, block, SEND_BLOCK, 0);
        if (more < 0) DIE("send");
        sent += more;
    }
    shutdown(peer, SHUT_WR);
    if (read(peer, block, 1) != 1) DIE("confirmation");
    return (double)size / (seconds() - start);
}

static double write_file(const char *path, long size) {
    int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    double start = seconds();
    for (long written = 0; written < size; written += BLOCK)
        if (write(file, block, BLOCK) != BLOCK) DIE("write");
    double elapsed = seconds() - start;
    unlink(path);
    return (double)size / elapsed;
}

static double read_file(const char *path) {
    int file = open(path, O_RDONLY);
    if (file < 0) DIE(path);
    double start = seconds();
    long size = 0;
    for (ssize_t got; (got = read(file, block, BLOCK)) > 0;) size += got;
    return (double)size / (seconds() - start);
}

int main(int count, char **words) {
    const char *mode = count > 2 ? words[1] : "";
    memset(block, 'k', sizeof block);
    if (!strcmp(mode, "ack") && count == 5) serve(RECORDS_DROPPED, atoi(words[2]), atoi(words[3]), words[4]);
    else if (!strcmp(mode, "append") && count == 5) serve(RECORDS_CHECKED_AND_APPENDED, atoi(words[2]), atoi(words[3]), words[4]);
    else if (!strcmp(mode, "sync") && count == 5) serve(RECORDS_SYNCED, atoi(words[2]), atoi(words[3]), words[4]);
    else if (!strcmp(mode, "sink")) sink(atoi(words[2]));
    else if (!strcmp(mode, "source") && count == 4) printf("%.0f\n", source(atoi(words[2]), atol(words[3])));
    else if (!strcmp(mode, "write") && count == 4) printf("%.0f\n", write_file(words[2], atol(words[3])));
    else if (!strcmp(mode, "read")) printf("%.0f\n", read_file(words[2]));
    else return fprintf(stderr, "unknown arguments; see floors.c\n"), 2;
    return 0;
}
