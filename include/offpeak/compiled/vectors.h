/* Vectors of float32, from base64 of their bytes or from a list of numbers. */

#ifndef OFFPEAK_VECTORS_H
#define OFFPEAK_VECTORS_H

#include "scan.h"

#define NO_DIGIT 0x80

/* The value of each base64 digit, NO_DIGIT for every other byte. */
static void fill_base64(uint8_t table[256])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    memset(table, NO_DIGIT, 256);
    for (int value = 0; value < 64; value++)
        table[(uint8_t)digits[value]] = (uint8_t)value;
}

static int are_finite(const uint8_t *floats, int64_t count)
{
    uint32_t endless = 0;
    for (int64_t place = 0; place < count; place++) {
        uint32_t bits;
        memcpy(&bits, floats + 4 * place, 4);
        endless |= (bits & 0x7F800000) == 0x7F800000;
    }
    return !endless;
}

/* Base64 whose opening quote is behind: exactly `size` bytes, and no bit set beyond them. */
static int base64_vector(Scan *scan, const uint8_t table[256], uint8_t *out, int64_t size)
{
    int64_t groups = size / 3, rest = size % 3, written = 4 * (groups + (rest > 0));
    const uint8_t *at = scan->at;
    uint8_t bad = 0;
    if (scan->end - at <= written || at[written] != '"')
        return ODD;
    for (int64_t group = 0; group < groups; group++, at += 4, out += 3) {
        uint8_t a = table[at[0]], b = table[at[1]], c = table[at[2]], d = table[at[3]];
        bad |= a | b | c | d;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        out[1] = (uint8_t)(b << 4 | c >> 2);
        out[2] = (uint8_t)(c << 6 | d);
    }
    if (rest) {
        uint8_t a = table[at[0]], b = table[at[1]], c = rest == 2 ? table[at[2]] : 0;
        bad |= a | b | c;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        if (rest == 2)
            out[1] = (uint8_t)(b << 4 | c >> 2);
        if ((rest == 2 ? c & 0x03 : b & 0x0F) || (rest == 1 && at[2] != '=') || at[3] != '=')
            return ODD;
        at += 4;
    }
    if (bad & NO_DIGIT)
        return ODD;
    scan->at = at + 1;
    return TAKEN;
}

static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* The nearest double where one rounding gives it; ODD for all that needs more care. */
static int exact_double(const Number *number, double *out)
{
    double value = (double)number->mantissa;
    if (number->mantissa >> 53 || number->exponent < -22 || number->exponent > 22)
        return ODD;
    if (!number->mantissa && number->is_negative)
        return ODD; /* whether a zero has a sign depends on how it is written */
    value = number->exponent < 0 ? value / TENS[-number->exponent] : value * TENS[number->exponent];
    *out = number->is_negative ? -value : value;
    return TAKEN;
}

/* The float32 next to the double next to the number, as Python and numpy make it.

   The double computed here may be wrong in its last two bits, which shows in the float32 only next to the middle
   between two of those: there, and beyond normal float32, the number is ODD. */
static int nearest_float(const Number *number, float *out)
{
    double value = (double)number->mantissa;
    uint64_t bits, below;
    if (!number->mantissa)
        return number->is_negative ? ODD : (*out = 0.0f, TAKEN);
    if (number->exponent < -44 || number->exponent > 22)
        return ODD;
    if (number->exponent < -22)
        value = value / TENS[22] / TENS[-number->exponent - 22];
    else
        value = number->exponent < 0 ? value / TENS[-number->exponent] : value * TENS[number->exponent];
    if (value < 1.2e-38 || value > 3.4e38)
        return ODD;
    memcpy(&bits, &value, 8);
    below = bits & 0x1FFFFFFF;
    if (below > 0x0FFFFFF0 && below < 0x10000010)
        return ODD;
    *out = (float)(number->is_negative ? -value : value);
    return TAKEN;
}

/* A list whose opening bracket is behind: exactly `count` numbers. */
static int listed_vector(Scan *scan, uint8_t *out, int64_t count)
{
    for (int64_t place = 0; place < count; place++) {
        Number found;
        float value;
        space(scan);
        if (number(scan, &found) || nearest_float(&found, &value))
            return ODD;
        memcpy(out + 4 * place, &value, 4);
        space(scan);
        if (!next_is(scan, place + 1 < count ? ',' : ']'))
            return ODD;
    }
    return count ? TAKEN : ODD;
}

/* `written` with so many float32 at `out`; ODD for another length, or for one that is not finite. */
static int vector(Scan *scan, const uint8_t table[256], uint8_t *out, int64_t count)
{
    int found = ODD;
    if (next_is(scan, '"'))
        found = base64_vector(scan, table, out, 4 * count);
    else if (next_is(scan, '['))
        found = listed_vector(scan, out, count);
    return found == TAKEN && are_finite(out, count) ? TAKEN : ODD;
}

#endif
