/* BLAKE2b with a digest of 16 bytes and no key, as RFC 7693 has it. */

#ifndef OFFPEAK_BLAKE2B_H
#define OFFPEAK_BLAKE2B_H

#include <stdint.h>
#include <string.h>

enum { HASH_BLOCK = 128, DIGEST = 16 };

typedef struct {
    uint64_t chain[8], hashed; /* `hashed` bytes are in the chain; below 2^64 of them */
    uint8_t held[HASH_BLOCK];
    int64_t held_bytes;
} Hash;

static const uint64_t HASH_START[8] = {
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
};

static const uint8_t HASH_ORDER[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

static inline uint64_t turned(uint64_t word, int bits)
{
    return word >> bits | word << (64 - bits);
}

static inline void mix(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t first, uint64_t second)
{
    *a += *b + first;
    *d = turned(*d ^ *a, 32);
    *c += *d;
    *b = turned(*b ^ *c, 24);
    *a += *b + second;
    *d = turned(*d ^ *a, 16);
    *c += *d;
    *b = turned(*b ^ *c, 63);
}

static void hash_block(Hash *hash, const uint8_t *block, int is_last)
{
    uint64_t v[16], words[16];
    memcpy(words, block, HASH_BLOCK); /* little-endian, as every system here is */
    memcpy(v, hash->chain, 64);
    memcpy(v + 8, HASH_START, 64);
    v[12] ^= hash->hashed;
    if (is_last)
        v[14] = ~v[14];
#pragma GCC unroll 12
    for (int round = 0; round < 12; round++) { /* unrolled, so that the order is known where it is used */
        const uint8_t *at = HASH_ORDER[round];
        mix(&v[0], &v[4], &v[8], &v[12], words[at[0]], words[at[1]]);
        mix(&v[1], &v[5], &v[9], &v[13], words[at[2]], words[at[3]]);
        mix(&v[2], &v[6], &v[10], &v[14], words[at[4]], words[at[5]]);
        mix(&v[3], &v[7], &v[11], &v[15], words[at[6]], words[at[7]]);
        mix(&v[0], &v[5], &v[10], &v[15], words[at[8]], words[at[9]]);
        mix(&v[1], &v[6], &v[11], &v[12], words[at[10]], words[at[11]]);
        mix(&v[2], &v[7], &v[8], &v[13], words[at[12]], words[at[13]]);
        mix(&v[3], &v[4], &v[9], &v[14], words[at[14]], words[at[15]]);
    }
    for (int place = 0; place < 8; place++)
        hash->chain[place] ^= v[place] ^ v[place + 8];
}

static void hash_start(Hash *hash)
{
    memset(hash, 0, sizeof *hash);
    memcpy(hash->chain, HASH_START, 64);
    hash->chain[0] ^= 0x01010000 ^ DIGEST;
}

/* The last block is only hashed at the end: until then it is held, however full. */
static void hash_more(Hash *hash, const uint8_t *data, int64_t bytes)
{
    while (bytes > 0) {
        int64_t taken = HASH_BLOCK - hash->held_bytes;
        if (taken == 0) {
            hash->hashed += HASH_BLOCK;
            hash_block(hash, hash->held, 0);
            hash->held_bytes = 0;
            continue;
        }
        taken = bytes < taken ? bytes : taken;
        memcpy(hash->held + hash->held_bytes, data, (size_t)taken);
        hash->held_bytes += taken;
        data += taken;
        bytes -= taken;
    }
}

/* A digest as 32 hexadecimal digits. */
static void hash_digits(const uint8_t *digest, uint8_t *digits)
{
    static const char names[] = "0123456789abcdef";
    for (int place = 0; place < DIGEST; place++) {
        digits[2 * place] = (uint8_t)names[digest[place] >> 4];
        digits[2 * place + 1] = (uint8_t)names[digest[place] & 15];
    }
}

static void hash_end(Hash *hash, uint8_t *digits)
{
    hash->hashed += (uint64_t)hash->held_bytes;
    memset(hash->held + hash->held_bytes, 0, (size_t)(HASH_BLOCK - hash->held_bytes));
    hash_block(hash, hash->held, 1);
    hash_digits((const uint8_t *)hash->chain, digits);
}

#endif
