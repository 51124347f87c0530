/* JSON text, read from left to right: whitespace, strings, numbers, and values that nobody wants.

   Whatever a careful reader could see in two ways is ODD here and left to the slow readers: halves of character
   pairs, escaped keys, numbers beyond what a double holds, more than DEEPEST levels. Nothing beyond `end` is read. */

#ifndef OFFPEAK_SCAN_H
#define OFFPEAK_SCAN_H

#include <stdint.h>
#include <string.h>

enum { TAKEN = 0, ODD = 1, OTHER = 2 }; /* OTHER: a constant is another one; see pick() in reader.c */
enum { DEEPEST = 64, MOST_DIGITS = 19, FARTHEST_EXPONENT = 200 };

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

typedef struct {
    const uint8_t *at, *end;
    int32_t depth;
} Scan;

typedef struct {
    uint64_t mantissa; /* its value is mantissa * 10^exponent */
    int32_t exponent;
    int32_t digits; /* significant ones; above MOST_DIGITS the mantissa lacks the last of them */
    int is_negative, is_whole;
} Number;

static inline void space(Scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\r' || *scan->at == '\n'))
        scan->at++;
}

/* Whether the next byte is `wanted`; it is then behind. */
static inline int next_is(Scan *scan, uint8_t wanted)
{
    if (scan->at >= scan->end || *scan->at != wanted)
        return 0;
    scan->at++;
    return 1;
}

static inline int word(Scan *scan, const char *wanted, int64_t length)
{
    if (scan->end - scan->at < length || memcmp(scan->at, wanted, (size_t)length))
        return ODD;
    scan->at += length;
    return TAKEN;
}

/* The first quote, backslash or control character from `at` on, or `end`. Eight bytes at once: in a word whose
   lowest hit is asked for, borrows only blur what lies above it. */
static inline const uint8_t *end_of_run(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        uint64_t bytes, quote, slash, hit;
        memcpy(&bytes, at, 8);
        quote = bytes ^ EACH_BYTE('"');
        slash = bytes ^ EACH_BYTE('\\');
        hit = ((quote - EACH_BYTE(1)) & ~quote) | ((slash - EACH_BYTE(1)) & ~slash) | ((bytes - EACH_BYTE(0x20)) & ~bytes);
        hit &= EACH_BYTE(0x80);
        if (hit)
            return at + (__builtin_ctzll(hit) >> 3);
        at += 8;
    }
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
        at++;
    return at;
}

static inline int32_t hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Four hexadecimal digits; -1 for anything else. */
static int32_t code_unit(Scan *scan)
{
    int32_t unit = 0;
    if (scan->end - scan->at < 4)
        return -1;
    for (int place = 0; place < 4; place++) {
        int32_t digit = hex_digit(*scan->at++);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* What follows `\u`, as UTF-8 in `out`: at most 4 bytes. 0 for half a pair, or what is no code at all. */
static int32_t escaped_character(Scan *scan, uint8_t *out)
{
    int32_t code = code_unit(scan);
    if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF))
        return 0;
    if (code >= 0xD800 && code <= 0xDBFF) {
        int32_t low;
        if (!next_is(scan, '\\') || !next_is(scan, 'u'))
            return 0;
        low = code_unit(scan);
        if (low < 0xDC00 || low > 0xDFFF)
            return 0;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        out[0] = (uint8_t)(0xF0 | code >> 18);
        out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[3] = (uint8_t)(0x80 | (code & 0x3F));
        return 4;
    }
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    out[0] = (uint8_t)(0xE0 | code >> 12);
    out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code & 0x3F));
    return 3;
}

static int32_t escaped(Scan *scan, uint8_t *out)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *found;
    uint8_t name;
    if (scan->at >= scan->end)
        return 0;
    name = *scan->at++;
    if (name == 'u')
        return escaped_character(scan, out);
    found = name ? strchr(names, name) : NULL;
    if (!found)
        return 0;
    out[0] = (uint8_t)meant[found - names];
    return 1;
}

/* A string whose opening quote is behind, written to `out` unless that is NULL. It never becomes longer than it
   stands in the text. `length` is that of what was meant, in bytes. */
static int string(Scan *scan, uint8_t *out, int64_t *length)
{
    int64_t written = 0;
    for (;;) {
        const uint8_t *stop = end_of_run(scan->at, scan->end);
        uint8_t character[4];
        int32_t bytes;
        if (out)
            memcpy(out + written, scan->at, (size_t)(stop - scan->at));
        written += stop - scan->at;
        scan->at = stop;
        if (next_is(scan, '"')) {
            *length = written;
            return TAKEN;
        }
        if (!next_is(scan, '\\') || !(bytes = escaped(scan, character)))
            return ODD;
        if (out)
            memcpy(out + written, character, (size_t)bytes);
        written += bytes;
    }
}

/* Whole digits from here on, added to the number; how many there were. */
static inline int64_t digits(Scan *scan, Number *number)
{
    const uint8_t *from = scan->at;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++) {
        if (number->digits < MOST_DIGITS)
            number->mantissa = number->mantissa * 10 + (uint64_t)(*scan->at - '0');
        number->digits += number->digits > 0 || *scan->at != '0';
        if (number->digits > MOST_DIGITS)
            number->digits = MOST_DIGITS + 1;
    }
    return scan->at - from;
}

static int exponent(Scan *scan, Number *number)
{
    int32_t written = 0;
    int is_negative = next_is(scan, '-');
    const uint8_t *from;
    if (!is_negative)
        next_is(scan, '+');
    from = scan->at;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++)
        if (written <= FARTHEST_EXPONENT)
            written = written * 10 + (*scan->at - '0');
    if (scan->at == from || written > FARTHEST_EXPONENT)
        return ODD;
    number->exponent += is_negative ? -written : written;
    return TAKEN;
}

static inline int number(Scan *scan, Number *found)
{
    int64_t whole;
    const uint8_t *from;
    memset(found, 0, sizeof *found);
    found->is_negative = next_is(scan, '-');
    found->is_whole = 1;
    from = scan->at;
    whole = digits(scan, found);
    if (whole == 0 || (whole > 1 && *from == '0'))
        return ODD;
    if (next_is(scan, '.')) {
        int64_t fraction = digits(scan, found);
        if (fraction == 0 || fraction > FARTHEST_EXPONENT)
            return ODD;
        found->exponent = -(int32_t)fraction;
        found->is_whole = 0;
    }
    if (next_is(scan, 'e') || next_is(scan, 'E')) {
        found->is_whole = 0;
        if (exponent(scan, found))
            return ODD;
    }
    return found->digits > MOST_DIGITS ? ODD : TAKEN;
}

static int skip(Scan *scan);

/* The rest of a list or an object that nobody wants. */
static int skip_many(Scan *scan, uint8_t closing)
{
    int64_t length;
    if (++scan->depth > DEEPEST)
        return ODD;
    space(scan);
    if (!next_is(scan, closing)) {
        do {
            space(scan);
            if (closing == '}') {
                if (!next_is(scan, '"') || string(scan, NULL, &length))
                    return ODD;
                space(scan);
                if (!next_is(scan, ':'))
                    return ODD;
                space(scan);
            }
            if (skip(scan))
                return ODD;
            space(scan);
        } while (next_is(scan, ','));
        if (!next_is(scan, closing))
            return ODD;
    }
    scan->depth--;
    return TAKEN;
}

static int skip(Scan *scan)
{
    int64_t length;
    Number unwanted;
    if (scan->at >= scan->end)
        return ODD;
    switch (*scan->at) {
    case '"':
        scan->at++;
        return string(scan, NULL, &length);
    case '{':
        scan->at++;
        return skip_many(scan, '}');
    case '[':
        scan->at++;
        return skip_many(scan, ']');
    case 't':
        return word(scan, "true", 4);
    case 'f':
        return word(scan, "false", 5);
    case 'n':
        return word(scan, "null", 4);
    default:
        return number(scan, &unwanted);
    }
}

static int is_continued(const uint8_t *at, const uint8_t *end, int bytes)
{
    if (end - at < bytes)
        return 0;
    for (int place = 1; place < bytes; place++)
        if ((at[place] & 0xC0) != 0x80)
            return 0;
    return 1;
}

/* How many bytes the character has that begins here; 0 when it is not UTF-8. */
static int character_bytes(const uint8_t *at, const uint8_t *end)
{
    uint8_t first = *at;
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    if (first < 0xE0)
        return is_continued(at, end, 2) ? 2 : 0;
    if (first < 0xF0) {
        if (!is_continued(at, end, 3) || (first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] > 0x9F))
            return 0;
        return 3;
    }
    if (!is_continued(at, end, 4) || (first == 0xF0 && at[1] < 0x90) || (first == 0xF4 && at[1] > 0x8F))
        return 0;
    return 4;
}

static int is_utf8(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        uint64_t bytes;
        int length;
        if (end - at >= 8) {
            memcpy(&bytes, at, 8);
            if (!(bytes & EACH_BYTE(0x80))) {
                at += 8;
                continue;
            }
        }
        length = character_bytes(at, end);
        if (!length)
            return 0;
        at += length;
    }
    return 1;
}

#endif
