// The requests of a swarm, in versions that Apache Kafka 4 and Klamm serve and, but for those of a transaction, that are not
// flexible yet.
#include "crc32c.h"
#include "swarm.h"

enum { PRODUCE_VERSION = 7, FETCH_VERSION = 4, ALL_REPLICAS = -1, NOBODY = -1, MAGIC = 2 };
enum { FIND_COORDINATOR_VERSION = 1, INIT_PRODUCER_VERSION = 1, TRANSACTIONAL_PRODUCE_VERSION = 12, END_TRANSACTION_VERSION = 5 };
enum { TRANSACTION = 1 };
enum { TIMEOUT_MS = 60000, FETCH_WAIT_MS = 30000, FETCH_BYTES = 1 << 20 };
// Where fields lie in a batch.
enum { LENGTH_AT = 8, EPOCH_AT = 12, CRC_AT = 17, ATTRIBUTES_AT = 21, PRODUCER_AT = 43 };
enum { TRANSACTIONAL = 16 };

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

void set_producer(struct bytes *batch, int64_t producer_id, int16_t epoch, int32_t sequence) {
    static struct bytes fields;
    const uint8_t *length = batch->data + LENGTH_AT;
    size_t end = EPOCH_AT + (size_t)take32(&length);
    fields.size = 0;
    put64(&fields, producer_id), put16(&fields, epoch), put32(&fields, sequence);
    memcpy(batch->data + PRODUCER_AT, fields.data, fields.size);
    batch->data[ATTRIBUTES_AT + 1] |= TRANSACTIONAL;
    set32(batch, CRC_AT, crc32c(batch->data + ATTRIBUTES_AT, end - ATTRIBUTES_AT));
}

void put_ends(struct bytes *batch) {
    for (int end = 0; end < ENDS; end++) put8(batch, 0);
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

static void put_unsigned(struct bytes *out, uint64_t number) {
    for (; number >= 128; number >>= 7) put8(out, (uint8_t)(number | 128));
    put8(out, (uint8_t)number);
}

static void put_compact(struct bytes *out, const char *text) {
    put_unsigned(out, strlen(text) + 1), put(out, text, strlen(text));
}

static void put_no_tags(struct bytes *out) { put8(out, 0); }

void build_transactional_produce(struct bytes *out, const char *id, const char *topic, int32_t partition, size_t body_size,
                                 size_t correlation) {
    put_header(out, PRODUCE, TRANSACTIONAL_PRODUCE_VERSION, correlation), put_no_tags(out);
    put_compact(out, id), put16(out, ALL_REPLICAS), put32(out, TIMEOUT_MS);
    put_unsigned(out, 2), put_compact(out, topic);
    put_unsigned(out, 2), put32(out, partition), put_unsigned(out, body_size - ENDS + 1);
    finish(out, body_size);
}

void build_find_coordinator(struct bytes *out, const char *id, size_t correlation) {
    put_header(out, FIND_COORDINATOR, FIND_COORDINATOR_VERSION, correlation);
    put_string(out, id, (int16_t)strlen(id)), put8(out, TRANSACTION);
    finish(out, 0);
}

void build_init_producer(struct bytes *out, const char *id, size_t correlation) {
    put_header(out, INIT_PRODUCER_ID, INIT_PRODUCER_VERSION, correlation);
    put_string(out, id, (int16_t)strlen(id)), put32(out, TIMEOUT_MS);
    finish(out, 0);
}

void build_end_transaction(struct bytes *out, const char *id, int64_t producer_id, int16_t epoch, size_t correlation) {
    put_header(out, END_TRANSACTION, END_TRANSACTION_VERSION, correlation), put_no_tags(out);
    put_compact(out, id), put64(out, producer_id), put16(out, epoch), put8(out, 1), put_no_tags(out);
    finish(out, 0);
}

// Array and string sizes are short ones here.
static size_t take_compact_size(const uint8_t **at) { return (size_t)*take(at, 1) - 1; }

int16_t read_flexible_produced(const uint8_t *body) {
    take(&body, 1 + 1);
    take(&body, take_compact_size(&body));
    take(&body, 1 + 4);
    return take16(&body);
}

int16_t read_found(const uint8_t *body) {
    take(&body, 4);
    return take16(&body);
}

static int16_t read_producer(const uint8_t *body, int64_t *producer_id, int16_t *epoch) {
    take(&body, 4);
    int16_t error = take16(&body);
    *producer_id = take64(&body);
    *epoch = take16(&body);
    return error;
}

int16_t read_initialised(const uint8_t *body, int64_t *producer_id, int16_t *epoch) { return read_producer(body, producer_id, epoch); }

// Behind the header's tags.
int16_t read_ended(const uint8_t *body, int64_t *producer_id, int16_t *epoch) { return read_producer(body + 1, producer_id, epoch); }
