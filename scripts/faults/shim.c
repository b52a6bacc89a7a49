/* Makes system calls on chosen files fail or wait, as LD_PRELOAD; the page in the file $FAULT_CONTROL says which, at any time.
 *
 * Calls that a program makes without libc are not seen: Klamm's reads from the page cache and what it sends from files.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE, SYNC, READ, RENAME, KINDS };

struct kind {
    int32_t error;    /* errno, or 0 */
    int32_t after;    /* so many calls pass first */
    int32_t delay_ms; /* those behind them wait so long before */
    int32_t hits;     /* calls that did not pass */
};

struct control {
    struct kind kinds[KINDS];
    char pattern[256]; /* part of the path of files that are meant; empty: none is */
};

static volatile struct control *control;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULT_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    control = page == MAP_FAILED ? NULL : page;
    close(fd);
}

/* Whether calls of a kind are meant at all. */
static int is_armed(int which) {
    return control && control->pattern[0] && (control->kinds[which].error || control->kinds[which].delay_ms);
}

/* Whether the call on that path must fail; errno is set then. Waits first, if that is asked for. */
static int fails_at(const char *path, int which) {
    if (!is_armed(which) || !strstr(path, (const char *)control->pattern)) return 0;
    volatile struct kind *kind = &control->kinds[which];
    if (__sync_fetch_and_sub((int32_t *)&kind->after, 1) > 0) return 0;
    __sync_fetch_and_add((int32_t *)&kind->hits, 1);
    for (int waited = 0; waited < kind->delay_ms; waited += 10) {
        struct timespec moment = {0, 10 * 1000 * 1000};
        nanosleep(&moment, NULL);
    }
    if (kind->error) errno = kind->error;
    return kind->error != 0;
}

/* The same for a call on an open file. */
static int fails(int fd, int which) {
    if (!is_armed(which)) return 0;
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fails_at(path, which);
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) {
    NEXT(write);
    return fails(fd, WRITE) ? -1 : next(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(writev);
    return fails(fd, WRITE) ? -1 : next(fd, parts, count);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    return fails(fd, SYNC) ? -1 : next(fd);
}

int fsync(int fd) {
    NEXT(fsync);
    return fails(fd, SYNC) ? -1 : next(fd);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t offset) {
    NEXT(pread64);
    return fails(fd, READ) ? -1 : next(fd, bytes, count, offset);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    return fails_at(from, RENAME) ? -1 : next(from, to);
}
