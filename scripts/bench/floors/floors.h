// The floors: what the machine can do at best. One thread, no error handling beyond ending with a message.
#pragma once
#include "common.h"

// What a minimal broker does with records.
enum records { RECORDS_DROPPED, RECORDS_CHECKED_AND_APPENDED, RECORDS_SYNCED };

// Serves Produce, Fetch, ListOffsets, Metadata and ApiVersions for one topic of `partitions` until it is killed.
void serve(enum records kept, int port, int partitions, const char *directory);

// A listening socket on a loopback port.
int listen_on(int port);
