// Long polls: all connections wait at the end of one partition, one append wakes them all.
#include "swarm.h"

// How long the broker has to begin all the waiting, before the append.
static double pause_s;
static struct bytes batch;
static double appended_at;
static size_t answers, appends;
static int64_t end_offset;
static struct samples latencies, slowest;
static double slowest_now;

static void end_with(const char *what, const struct peer *peer, long long code) {
    fprintf(stderr, "%s: connection %zu, %lld\n", what, peer->index, code);
    exit(1);
}

static void fetched(struct peer *peer, const uint8_t *body, size_t size, double now) {
    (void)size;
    int32_t records_size;
    int16_t error = read_fetched(body, &records_size);
    if (error) end_with("a fetch failed with an error code", peer, error);
    if (appended_at == 0) end_with("a fetch was answered before the append, with bytes of records", peer, records_size);
    if (records_size < (int32_t)batch.size) end_with("a fetch was answered with too few bytes of records", peer, records_size);
    double latency = now - appended_at;
    add_sample(&latencies, latency);
    if (latency > slowest_now) slowest_now = latency;
    answers++;
}

// The connection with this index is the one that appends.
static size_t writer_index;

static void answered(struct peer *peer, const uint8_t *body, size_t size, double now) {
    if (peer->index != writer_index) {
        fetched(peer, body, size, now);
        return;
    }
    int64_t base_offset;
    int16_t error = read_produced(body, &base_offset);
    if (error) end_with("an append failed with an error code", peer, error);
    end_offset = base_offset + 1;
    appends++;
}

static void no_room(struct peer *peer) { end_with("a small request found no room to be sent", peer, (long long)peer->sent); }

static void append_one(struct peer *writer, const char *topic) {
    static struct bytes head;
    build_produce(&head, topic, 0, batch.size, writer->sent);
    if (!send_rest(writer, &head, &batch)) no_room(writer);
    writer->sent++;
}

// Waits until so many fetches and all appends are answered.
static void await(size_t fetches, const struct peer *writer) {
    double deadline = seconds() + PATIENCE_S;
    while (answers < fetches || appends < writer->sent) {
        if (seconds() > deadline) {
            fprintf(stderr, "%zu of %zu polls not answered %.0f s after the append\n", fetches - answers, fetches, PATIENCE_S);
            exit(1);
        }
        wait_for_events(deadline, answered, no_room);
    }
}

static void round_of(struct peer *peers, struct peer *writer, const char *topic) {
    static struct bytes request;
    answers = 0, slowest_now = 0, appended_at = 0;
    for (size_t index = 0; index < writer->index; index++) {
        build_fetch(&request, topic, end_offset, peers[index].sent);
        if (!send_rest(&peers[index], &request, NULL)) no_room(&peers[index]);
        peers[index].sent++;
    }
    for (double begin = seconds() + pause_s; seconds() < begin;) wait_for_events(begin, answered, no_room);
    appended_at = seconds();
    append_one(writer, topic);
    await(writer->index, writer);
    add_sample(&slowest, slowest_now);
}

int poll_rounds(int port, const char *topic, size_t connections, size_t rounds, size_t value_size, double pause) {
    pause_s = pause;
    build_batch(&batch, 1, value_size);
    struct peer *peers = connect_all(port, connections + 1), *writer = &peers[writer_index = connections];
    append_one(writer, topic);
    await(0, writer);
    wait_for_go();
    double start = seconds(), client_s = cpu_seconds();
    for (size_t number = 0; number < rounds; number++) round_of(peers, writer, topic);
    double active_s = seconds() - start;
    client_s = cpu_seconds() - client_s;
    printf("records=%zu payload_bytes=%zu polls=%zu p50_us=%.1f p99_us=%.1f slowest_us=%.1f worst_us=%.1f"
           " active_s=%.6f client_s=%.6f\n",
           appends, latencies.count * value_size, latencies.count, percentile_us(&latencies, 0.5),
           percentile_us(&latencies, 0.99), percentile_us(&slowest, 0.5), percentile_us(&slowest, 1), active_s, client_s);
    wait_for_end();
    return 0;
}
