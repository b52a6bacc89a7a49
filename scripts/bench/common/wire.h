// Reading requests and answers, and writing them, in the protocol's big-endian numbers.
#pragma once
#include "common.h"
#include <endian.h>
#include <string.h>

enum { PRODUCE = 0, FETCH = 1, LIST_OFFSETS = 2, METADATA = 3, FIND_COORDINATOR = 10, API_VERSIONS = 18, INIT_PRODUCER_ID = 22,
       END_TRANSACTION = 26 };

struct bytes { uint8_t *data; size_t size, capacity; };

static inline const uint8_t *take(const uint8_t **at, size_t size) { const uint8_t *taken = *at; *at += size; return taken; }
static inline int16_t take16(const uint8_t **at) { uint16_t n; memcpy(&n, take(at, 2), 2); return (int16_t)be16toh(n); }
static inline int32_t take32(const uint8_t **at) { uint32_t n; memcpy(&n, take(at, 4), 4); return (int32_t)be32toh(n); }
static inline int64_t take64(const uint8_t **at) { uint64_t n; memcpy(&n, take(at, 8), 8); return (int64_t)be64toh(n); }

// Makes room for more bytes after those that are there.
static inline void reserve(struct bytes *out, size_t more) {
    if (out->size + more <= out->capacity) return;
    out->capacity = (out->size + more) * 2;
    if (!(out->data = realloc(out->data, out->capacity))) DIE("realloc");
}

static inline void put(struct bytes *out, const void *data, size_t size) {
    reserve(out, size);
    memcpy(out->data + out->size, data, size);
    out->size += size;
}
static inline void put16(struct bytes *out, int16_t n) { uint16_t big = htobe16((uint16_t)n); put(out, &big, 2); }
static inline void put32(struct bytes *out, int32_t n) { uint32_t big = htobe32((uint32_t)n); put(out, &big, 4); }
static inline void put64(struct bytes *out, int64_t n) { uint64_t big = htobe64((uint64_t)n); put(out, &big, 8); }
static inline void put_string(struct bytes *out, const void *text, int16_t size) { put16(out, size); put(out, text, (size_t)size); }

// Writes a number over what stands at `at` already: sizes and checksums are known last.
static inline void set32(struct bytes *out, size_t at, uint32_t n) { uint32_t big = htobe32(n); memcpy(out->data + at, &big, 4); }
