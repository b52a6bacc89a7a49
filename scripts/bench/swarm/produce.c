// Open-loop producing: request after request at its time, whether or not those before are answered. Latency counts from
// the time that a request was meant for, so that a broker that makes the swarm wait is charged for the waiting.
#include "swarm.h"

// So many requests are sent before answers are looked at again.
enum { AT_ONCE = 64 };
static const double LEAD_S = 0.01;

static struct load load;
static struct bytes batch;
static double start;
static struct samples latencies, lateness;
static size_t errors;
static double last_answer;

static double meant_for(size_t request) { return start + (double)request / (load.rate * (double)load.connections); }

// Which of all requests a connection's next one is: they take turns.
static size_t request_of(const struct peer *peer, size_t own) { return own * load.connections + peer->index; }

static void send_due(struct peer *peer) {
    static struct bytes head;
    while (peer->sent < peer->due) {
        size_t request = request_of(peer, peer->sent);
        if (peer->part == 0) add_sample(&lateness, seconds() - meant_for(request));
        build_produce(&head, load.topic, (int32_t)(request % load.partitions), batch.size, peer->sent);
        if (!send_rest(peer, &head, &batch)) return;
        peer->sent++;
    }
}

static void acknowledged(struct peer *peer, const uint8_t *body, size_t size, double now) {
    (void)size;
    int64_t base_offset;
    int16_t error = read_produced(body, &base_offset);
    if (error && !errors++) fprintf(stderr, "connection %zu, request %zu: error code %d\n", peer->index, peer->answered, error);
    add_sample(&latencies, now - meant_for(request_of(peer, peer->answered)));
    last_answer = now;
}

// Sends all requests at their times and waits for answers, at most PATIENCE_S longer than the load lasts.
static void run(struct peer *peers, size_t requests) {
    double deadline = meant_for(requests) + PATIENCE_S;
    for (size_t next = 0; latencies.count < requests && seconds() < deadline;) {
        double now = seconds();
        for (int sent = 0; sent < AT_ONCE && next < requests && meant_for(next) <= now; sent++, next++) {
            struct peer *peer = &peers[next % load.connections];
            peer->due++;
            if (!peer->blocked) send_due(peer);
        }
        wait_for_events(next < requests ? meant_for(next) : deadline, acknowledged, send_due);
    }
}

int produce(int port, const struct load *chosen) {
    load = *chosen;
    size_t requests = (size_t)((double)load.connections * load.rate * load.seconds + 0.5);
    build_batch(&batch, load.records, load.value_size);
    struct peer *peers = connect_all(port, load.connections);
    wait_for_go();
    start = last_answer = seconds() + LEAD_S;
    double client_s = cpu_seconds();
    run(peers, requests);
    client_s = cpu_seconds() - client_s;
    size_t answers = latencies.count, missing = requests - answers;
    size_t records = (answers - errors) * load.records;
    printf("records=%zu payload_bytes=%zu errors=%zu missing=%zu p50_us=%.1f p99_us=%.1f p999_us=%.1f late_us=%.1f active_s=%.6f"
           " client_s=%.6f\n",
           records, records * load.value_size, errors, missing, percentile_us(&latencies, 0.5), percentile_us(&latencies, 0.99),
           percentile_us(&latencies, 0.999), percentile_us(&lateness, 0.99), last_answer - start, client_s);
    if (missing) fprintf(stderr, "%zu of %zu answers missing %.0f s after the end\n", missing, requests, PATIENCE_S);
    wait_for_end();
    return errors || missing;
}
