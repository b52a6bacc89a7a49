// The requests of a swarm, in versions that Apache Kafka 4 and Klamm serve and that are not flexible yet.
#include "crc32c.h"
#include "swarm.h"

enum { PRODUCE_VERSION = 7, FETCH_VERSION = 4, ALL_REPLICAS = -1, NOBODY = -1, MAGIC = 2 };
enum { TIMEOUT_MS = 60000, FETCH_WAIT_MS = 30000, FETCH_BYTES = 1 << 20 };
// Where fields lie in a batch.
enum { LENGTH_AT = 8, EPOCH_AT = 12, CRC_AT = 17, ATTRIBUTES_AT = 21 };

static void put8(struct bytes *out, uint8_t byte) { put(out, &byte, 1); }

static void put_varint(struct bytes *out, int64_t number) {
    uint64_t zigzag = ((uint64_t)number << 1) ^ (uint64_t)(number >> 63);
    for (; zigzag >= 128; zigzag >>= 7) put8(out, (uint8_t)(zigzag | 128));
    put8(out, (uint8_t)zigzag);
}

static void put_record(struct bytes *out, size_t offset_delta, const void *value, size_t value_size) {
    static struct bytes start;
    start.size = 0;
    put8(&start, 0), put_varint(&start, 0), put_varint(&start, (int64_t)offset_delta);
    put_varint(&start, -1), put_varint(&start, (int64_t)value_size);
    put_varint(out, (int64_t)(start.size + value_size + 1));
    put(out, start.data, start.size), put(out, value, value_size);
    put_varint(out, 0);
}

void build_batch(struct bytes *out, size_t records, size_t value_size) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t timestamp = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    char *value = malloc(value_size + 1);
    if (!value) DIE("malloc");
    memset(value, 'k', value_size);
    put64(out, 0), put32(out, 0), put32(out, -1), put8(out, MAGIC), put32(out, 0);
    put16(out, 0), put32(out, (int32_t)records - 1), put64(out, timestamp), put64(out, timestamp);
    put64(out, NOBODY), put16(out, NOBODY), put32(out, NOBODY), put32(out, (int32_t)records);
    for (size_t record = 0; record < records; record++) put_record(out, record, value, value_size);
    set32(out, LENGTH_AT, (uint32_t)(out->size - EPOCH_AT));
    crc_prepare();
    set32(out, CRC_AT, crc32c(out->data + ATTRIBUTES_AT, out->size - ATTRIBUTES_AT));
    free(value);
}

static void put_header(struct bytes *out, int16_t api, int16_t version, size_t correlation) {
    static const char client[] = "swarm";
    out->size = 0;
    put32(out, 0), put16(out, api), put16(out, version), put32(out, (int32_t)correlation);
    put_string(out, client, sizeof client - 1);
}

// The size of a request goes to its front when all but `more` bytes of it are there.
static void finish(struct bytes *out, size_t more) { set32(out, 0, (uint32_t)(out->size - 4 + more)); }

void build_produce(struct bytes *out, const char *topic, int32_t partition, size_t records_size, size_t correlation) {
    put_header(out, PRODUCE, PRODUCE_VERSION, correlation);
    put16(out, NOBODY), put16(out, ALL_REPLICAS), put32(out, TIMEOUT_MS);
    put32(out, 1), put_string(out, topic, (int16_t)strlen(topic));
    put32(out, 1), put32(out, partition), put32(out, (int32_t)records_size);
    finish(out, records_size);
}

void build_fetch(struct bytes *out, const char *topic, int64_t offset, size_t correlation) {
    put_header(out, FETCH, FETCH_VERSION, correlation);
    put32(out, NOBODY), put32(out, FETCH_WAIT_MS), put32(out, 1), put32(out, FETCH_BYTES), put8(out, 0);
    put32(out, 1), put_string(out, topic, (int16_t)strlen(topic));
    put32(out, 1), put32(out, 0), put64(out, offset), put32(out, FETCH_BYTES);
    finish(out, 0);
}

void build_api_versions(struct bytes *out) {
    put_header(out, API_VERSIONS, 0, 0);
    finish(out, 0);
}

// Skips the only topic up to its only partition's error code.
static void skip_to_partition(const uint8_t **at) {
    take(at, 4);
    int16_t name_size = take16(at);
    take(at, (size_t)name_size + 4 + 4);
}

int16_t read_produced(const uint8_t *body, int64_t *base_offset) {
    skip_to_partition(&body);
    int16_t error = take16(&body);
    *base_offset = take64(&body);
    return error;
}

int16_t read_fetched(const uint8_t *body, int32_t *records_size) {
    take(&body, 4);
    skip_to_partition(&body);
    int16_t error = take16(&body);
    take(&body, 8 + 8);
    int32_t aborted = take32(&body);
    if (aborted > 0) take(&body, (size_t)aborted * 16);
    *records_size = take32(&body);
    return error;
}
