// Latencies and their percentiles.
#include "swarm.h"

void add_sample(struct samples *samples, double value) {
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 4096;
        if (!(samples->values = realloc(samples->values, samples->capacity * sizeof *samples->values))) DIE("realloc");
    }
    samples->values[samples->count++] = value;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double percentile_us(struct samples *samples, double share) {
    if (samples->count == 0) return 0;
    qsort(samples->values, samples->count, sizeof *samples->values, ascending);
    size_t at = (size_t)(share * (double)samples->count);
    return samples->values[at < samples->count ? at : samples->count - 1] * 1e6;
}
