// The swarm's command line. It prints `ready`, begins at a line on standard input, prints what it measured in one line, and
// ends with standard input.
//   swarm produce PORT TOPIC PARTITIONS CONNECTIONS RATE SECONDS SIZE RECORDS
//       RATE requests a second on each connection, each with a batch of RECORDS records with SIZE bytes of value
//   swarm poll PORT TOPIC CONNECTIONS ROUNDS SIZE PAUSE
//       in every round each connection waits at the end of partition 0 until one record of SIZE bytes is appended there, after
//       PAUSE seconds
//   swarm transactions PORT TOPIC PARTITIONS CONNECTIONS IDS SECONDS RECORDS SIZE
//       one transaction of RECORDS records with SIZE bytes of value after the other on each connection, which takes turns with its
//       IDS transactional ids; the same batches without transactions where IDS is 0
#include "swarm.h"
#include <sys/prctl.h>

// Files beside the connections.
enum { OTHER_FILES = 16 };

static size_t count_of(const char *word) {
    long long number = atoll(word);
    if (number < 1) {
        fprintf(stderr, "not a number above 0: %s\n", word);
        exit(2);
    }
    return (size_t)number;
}

int main(int words_count, char **words) {
    const char *mode = words_count > 1 ? words[1] : "";
    // Sleeps end when they should: by default they may last 50 us longer.
    prctl(PR_SET_TIMERSLACK, 1);
    if (!strcmp(mode, "produce") && words_count == 10) {
        struct load load = {.topic = words[3], .partitions = count_of(words[4]), .connections = count_of(words[5]),
                            .rate = atof(words[6]), .seconds = atof(words[7]), .value_size = count_of(words[8]),
                            .records = count_of(words[9])};
        raise_open_files(load.connections + OTHER_FILES);
        return produce(atoi(words[2]), &load);
    }
    if (!strcmp(mode, "poll") && words_count == 8) {
        size_t connections = count_of(words[4]);
        raise_open_files(connections + OTHER_FILES);
        return poll_rounds(atoi(words[2]), words[3], connections, count_of(words[5]), count_of(words[6]), atof(words[7]));
    }
    if (!strcmp(mode, "transactions") && words_count == 10) {
        struct transactions load = {.topic = words[3], .partitions = count_of(words[4]), .connections = count_of(words[5]),
                                    .ids = (size_t)atoll(words[6]), .seconds = atof(words[7]), .records = count_of(words[8]),
                                    .value_size = count_of(words[9])};
        raise_open_files(load.connections + OTHER_FILES);
        return transactions(atoi(words[2]), &load);
    }
    return fprintf(stderr, "unknown arguments; see swarm.c\n"), 2;
}
