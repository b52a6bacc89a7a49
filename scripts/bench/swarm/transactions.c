// Closed-loop transactions: each connection has some transactional ids and takes them in turn; a transaction is one batch and its
// commit, and the next begins when that is answered. As clients of Kafka 4 do it (KIP-890): the batch itself adds its partition,
// and the commit tells the next epoch. Without ids the batches are plain ones: what transactions are compared with.
#include "swarm.h"
#include <unistd.h>

enum { LOADING = 14, NOT_AVAILABLE = 15, NOT_COORDINATOR = 16, CONCURRENT_TRANSACTIONS = 51 };
enum phase { PREPARING, PRODUCING, COMMITTING };

struct producer { int64_t id; int16_t epoch; };

// What a connection is about; `peer->sent` and `peer->answered` count its requests.
struct session {
    struct producer *producers;
    size_t at;
    enum phase phase;
    struct bytes head, batch;
    double began, committing;
};

static struct transactions load;
static struct session *sessions;
static double end;
static struct samples commits, whole;
static size_t done, waited, busy, latest_error;

static void fail(const char *what, const struct peer *peer, int error) {
    fprintf(stderr, "%s: connection %zu, error code %d\n", what, peer->index, error);
    exit(1);
}

static void transactional_id(char *name, size_t connection, size_t number) {
    snprintf(name, MAX_ID, "swarm-%zu-%zu", connection, number);
}

static void go_on(struct peer *peer) {
    struct session *session = &sessions[peer->index];
    if (send_rest(peer, &session->head, session->phase == PRODUCING ? &session->batch : NULL)) peer->sent++;
}

static void send_batch(struct peer *peer) {
    struct session *session = &sessions[peer->index];
    int32_t partition = (int32_t)(peer->index % load.partitions);
    session->phase = PRODUCING;
    if (load.ids == 0) {
        build_produce(&session->head, load.topic, partition, session->batch.size, peer->sent);
    } else {
        char name[MAX_ID];
        transactional_id(name, peer->index, session->at);
        const struct producer *producer = &session->producers[session->at];
        // Each epoch counts from 0 anew.
        set_producer(&session->batch, producer->id, producer->epoch, 0);
        build_transactional_produce(&session->head, name, load.topic, partition, session->batch.size, peer->sent);
    }
    go_on(peer);
}

static void send_commit(struct peer *peer, double now) {
    struct session *session = &sessions[peer->index];
    char name[MAX_ID];
    transactional_id(name, peer->index, session->at);
    session->phase = COMMITTING, session->committing = now;
    const struct producer *producer = &session->producers[session->at];
    build_end_transaction(&session->head, name, producer->id, producer->epoch, peer->sent);
    go_on(peer);
}

static void send_init(struct peer *peer) {
    struct session *session = &sessions[peer->index];
    char name[MAX_ID];
    transactional_id(name, peer->index, session->at);
    build_init_producer(&session->head, name, peer->sent);
    go_on(peer);
}

static void begin(struct peer *peer, double now) {
    struct session *session = &sessions[peer->index];
    if (now >= end) {
        busy--;
        return;
    }
    session->began = now;
    send_batch(peer);
}

static void finished(struct peer *peer, double now) {
    struct session *session = &sessions[peer->index];
    done++;
    add_sample(&whole, now - session->began);
    if (load.ids) session->at = (session->at + 1) % load.ids;
    begin(peer, now);
}

static void produced(struct peer *peer, const uint8_t *body, double now) {
    int64_t base_offset;
    int16_t error = load.ids ? read_flexible_produced(body) : read_produced(body, &base_offset);
    if (error == CONCURRENT_TRANSACTIONS && load.ids) {
        // The id's last transaction is not complete.
        waited++;
        send_batch(peer);
    } else if (error) {
        fail("a batch was refused", peer, error);
    } else if (load.ids) {
        send_commit(peer, now);
    } else {
        finished(peer, now);
    }
}

static void committed(struct peer *peer, const uint8_t *body, double now) {
    struct session *session = &sessions[peer->index];
    struct producer *producer = &session->producers[session->at];
    int16_t error = read_ended(body, &producer->id, &producer->epoch);
    if (error) fail("a commit was refused", peer, error);
    add_sample(&commits, now - session->committing);
    finished(peer, now);
}

static void initialised(struct peer *peer, const uint8_t *body) {
    struct session *session = &sessions[peer->index];
    struct producer *producer = &session->producers[session->at];
    int16_t error = read_initialised(body, &producer->id, &producer->epoch);
    // The coordinator has just got its topic.
    int again = error == LOADING || error == NOT_AVAILABLE || error == NOT_COORDINATOR || error == CONCURRENT_TRANSACTIONS;
    if (error && !again) fail("an id was refused", peer, error);
    if (!error) session->at++;
    if (session->at < load.ids) send_init(peer);
    else session->at = 0, busy--;
}

static void answered(struct peer *peer, const uint8_t *body, size_t size, double now) {
    (void)size;
    switch (sessions[peer->index].phase) {
    case PREPARING: initialised(peer, body); break;
    case PRODUCING: produced(peer, body, now); break;
    case COMMITTING: committed(peer, body, now); break;
    }
}

static void found(struct peer *peer, const uint8_t *body, size_t size, double now) {
    (void)peer, (void)size, (void)now;
    latest_error = (size_t)read_found(body);
    busy = 0;
}

static void await(on_answer *answer, double deadline) {
    while (busy) {
        if (seconds() > deadline) {
            fprintf(stderr, "%zu connections not answered within %.0f s\n", busy, PATIENCE_S);
            exit(1);
        }
        wait_for_events(deadline, answer, go_on);
    }
}

// Has the broker find the coordinator, which makes its topic, and gives every id a producer.
static void prepare(struct peer *peers) {
    double deadline = seconds() + PATIENCE_S;
    do {
        char name[MAX_ID];
        transactional_id(name, 0, 0);
        build_find_coordinator(&sessions[0].head, name, peers[0].sent);
        busy = 1;
        go_on(&peers[0]);
        await(found, deadline);
        // Its topic is being made.
        if (latest_error) usleep(10000);
    } while (latest_error);
    busy = load.connections;
    for (size_t index = 0; index < load.connections; index++) send_init(&peers[index]);
    await(answered, deadline);
}

int transactions(int port, const struct transactions *chosen) {
    load = *chosen;
    struct peer *peers = connect_all(port, load.connections);
    if (!(sessions = calloc(load.connections, sizeof *sessions))) DIE("sessions");
    for (size_t index = 0; index < load.connections; index++) {
        build_batch(&sessions[index].batch, load.records, load.value_size);
        if (load.ids) put_ends(&sessions[index].batch);
        if (!(sessions[index].producers = calloc(load.ids + 1, sizeof(struct producer)))) DIE("producers");
    }
    if (load.ids) prepare(peers);
    wait_for_go();
    double start = seconds(), client_s = cpu_seconds();
    end = start + load.seconds, busy = load.connections;
    for (size_t index = 0; index < load.connections; index++) begin(&peers[index], start);
    await(answered, end + PATIENCE_S);
    double active_s = seconds() - start;
    client_s = cpu_seconds() - client_s;
    size_t records = done * load.records;
    printf("records=%zu payload_bytes=%zu transactions_s=%.1f waited=%zu commit_p50_us=%.1f commit_p99_us=%.1f p50_us=%.1f p99_us=%.1f"
           " active_s=%.6f client_s=%.6f\n",
           records, records * load.value_size, (double)done / active_s, waited, percentile_us(&commits, 0.5),
           percentile_us(&commits, 0.99), percentile_us(&whole, 0.5), percentile_us(&whole, 0.99), active_s, client_s);
    wait_for_end();
    return 0;
}
