// The swarm: thousands of connections in one thread. Whatever takes too long ends with a message, never in waiting.
#pragma once
#include "wire.h"

// One connection. Requests are answered in order: the number of an answer tells the request that it belongs to.
struct peer {
    int fd, blocked;
    size_t index;
    // Requests that are to be sent by now, that are sent in full, and that are answered.
    size_t due, sent, answered;
    // How much of the request after those was sent.
    size_t part;
    struct bytes in;
};

// ---- connections.c

// How long a broker may take for what is expected at once, and for what is still to come at the end.
extern const double PATIENCE_S;

void raise_open_files(size_t needed);
// Opens connections, each of which the broker has answered once.
struct peer *connect_all(int port, size_t count);
// Sends the rest of a request: whether that was all. If not, `wait_for_events` continues when there is room.
int send_rest(struct peer *peer, const struct bytes *head, const struct bytes *body);
typedef void on_answer(struct peer *peer, const uint8_t *body, size_t size, double now);
typedef void on_room(struct peer *peer);
// Waits until that time for answers and for room to send.
void wait_for_events(double until, on_answer *answered, on_room *has_room);
// What this process has used of its core.
double cpu_seconds(void);
// Tells that everything is ready; returns when a line, or the end, comes from standard input.
void wait_for_go(void);
// Waits for the end of standard input, so that closing the connections is not part of what is measured.
void wait_for_end(void);

// ---- requests.c

// A batch of the current record format with a valid checksum.
void build_batch(struct bytes *out, size_t records, size_t value_size);
// A Produce request up to the records, which must follow.
void build_produce(struct bytes *out, const char *topic, int32_t partition, size_t records_size, size_t correlation);
void build_fetch(struct bytes *out, const char *topic, int64_t offset, size_t correlation);
void build_api_versions(struct bytes *out);
// Makes a batch part of a transaction: whose, in which epoch, and the first sequence number.
void set_producer(struct bytes *batch, int64_t producer_id, int16_t epoch, int32_t sequence);
// What follows the records in a transactional request, where partition, topic and request have no tags.
enum { ENDS = 3 };
void put_ends(struct bytes *batch);
// The same as `build_produce` in a transaction, which the partition is added to; the batch that follows has its ends.
void build_transactional_produce(struct bytes *out, const char *id, const char *topic, int32_t partition, size_t body_size,
                                 size_t correlation);
void build_find_coordinator(struct bytes *out, const char *id, size_t correlation);
void build_init_producer(struct bytes *out, const char *id, size_t correlation);
// Commits.
void build_end_transaction(struct bytes *out, const char *id, int64_t producer_id, int16_t epoch, size_t correlation);
// The error code of the only partition of an answer; the offset of its first record.
int16_t read_produced(const uint8_t *body, int64_t *base_offset);
// The error code of the only partition of an answer; the size of its records.
int16_t read_fetched(const uint8_t *body, int32_t *records_size);

// The same of a transactional one.
int16_t read_flexible_produced(const uint8_t *body);
// Error codes, and who the producer is from then on.
int16_t read_found(const uint8_t *body);
int16_t read_initialised(const uint8_t *body, int64_t *producer_id, int16_t *epoch);
int16_t read_ended(const uint8_t *body, int64_t *producer_id, int16_t *epoch);

// ---- samples.c

struct samples { double *values; size_t count, capacity; };

void add_sample(struct samples *samples, double value);
// Sorts them; the value in microseconds below which `share` of them lie.
double percentile_us(struct samples *samples, double share);

// ---- produce.c, poll.c, transactions.c: what the command line chooses. Each returns the exit status.

struct load { const char *topic; size_t partitions, connections, value_size, records; double rate, seconds; };

struct transactions { const char *topic; size_t partitions, connections, ids, records, value_size; double seconds; };
// The longest transactional id, with its end.
enum { MAX_ID = 64 };

int produce(int port, const struct load *load);
int poll_rounds(int port, const char *topic, size_t connections, size_t rounds, size_t value_size, double pause_s);
int transactions(int port, const struct transactions *load);
