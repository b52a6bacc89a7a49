// CRC-32C with the processor's instruction, three streams at a time so that its latency is hidden.
#pragma once
#include <nmmintrin.h>
#include <stdint.h>
#include <string.h>

enum { CRC_STREAM = 1024 };
static uint32_t crc_shift[4][256];

static uint32_t crc_update(uint32_t crc, const uint8_t *data, size_t size) {
    uint64_t wide = crc;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    while (size--) crc = _mm_crc32_u8(crc, *data++);
    return crc;
}

// Tables of what CRC_STREAM zero bytes make of each byte of a checksum: the checksum is linear.
static void crc_prepare(void) {
    static const uint8_t zeros[CRC_STREAM];
    for (int place = 0; place < 4; place++)
        for (uint32_t byte = 0; byte < 256; byte++)
            crc_shift[place][byte] = crc_update(byte << (8 * place), zeros, CRC_STREAM);
}

static uint32_t crc_shifted(uint32_t crc) {
    return crc_shift[0][crc & 255] ^ crc_shift[1][crc >> 8 & 255] ^ crc_shift[2][crc >> 16 & 255] ^ crc_shift[3][crc >> 24];
}

static uint32_t crc32c(const uint8_t *data, size_t size) {
    uint64_t a = 0xffffffff;
    for (; size >= 3 * CRC_STREAM; data += 3 * CRC_STREAM, size -= 3 * CRC_STREAM) {
        uint64_t b = 0, c = 0, words[3];
        for (int at = 0; at < CRC_STREAM; at += 8) {
            memcpy(&words[0], data + at, 8);
            memcpy(&words[1], data + CRC_STREAM + at, 8);
            memcpy(&words[2], data + 2 * CRC_STREAM + at, 8);
            a = _mm_crc32_u64(a, words[0]);
            b = _mm_crc32_u64(b, words[1]);
            c = _mm_crc32_u64(c, words[2]);
        }
        a = crc_shifted(crc_shifted((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    }
    return ~crc_update((uint32_t)a, data, size);
}
