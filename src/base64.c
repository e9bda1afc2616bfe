#include "base64.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NO_DIGIT 0xff

static const char digits_of_base64[]
    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of each character; NO_DIGIT if it is not a base64 digit. */
static void
fill_values(uint8_t values[256])
{
    memset(values, NO_DIGIT, 256);
    for (size_t i = 0; i < sizeof digits_of_base64 - 1; i++) {
        values[(uint8_t)digits_of_base64[i]] = (uint8_t)i;
    }
}

/* How many characters of padding there are: 0, 1 or 2. */
static Py_ssize_t
padding_of(const uint8_t *text, Py_ssize_t length)
{
    return length == 0 || text[length - 1] != '=' ? 0 : (text[length - 2] == '=' ? 2 : 1);
}

/* Decode the digits into `out`; false where there is another character. */
static bool
decode_digits(const uint8_t *text, Py_ssize_t digits, uint8_t *out)
{
    uint8_t values[256];
    fill_values(values);
    uint32_t bits = 0;
    uint8_t seen = 0;
    Py_ssize_t i = 0;
    for (; i + 4 <= digits; i += 4) {
        uint8_t a = values[text[i]], b = values[text[i + 1]], c = values[text[i + 2]],
                d = values[text[i + 3]];
        seen |= (uint8_t)(a | b | c | d);
        bits = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
        *out++ = (uint8_t)(bits >> 16);
        *out++ = (uint8_t)(bits >> 8);
        *out++ = (uint8_t)bits;
    }
    bits = 0;
    for (Py_ssize_t rest = i; rest < digits; rest++) {
        seen |= values[text[rest]];
        bits = bits << 6 | values[text[rest]];
    }
    if (digits - i == 2) {
        *out = (uint8_t)(bits >> 4);
    }
    else if (digits - i == 3) {
        *out++ = (uint8_t)(bits >> 10);
        *out = (uint8_t)(bits >> 2);
    }
    return (seen & 0x80) == 0;
}

PyObject *
base64_decode(const char *text, Py_ssize_t length)
{
    const uint8_t *characters = (const uint8_t *)text;
    if (length % 4 != 0) {
        Py_RETURN_NONE;
    }
    Py_ssize_t padding = padding_of(characters, length);
    PyObject *decoded = PyBytes_FromStringAndSize(NULL, length / 4 * 3 - padding);
    if (decoded == NULL) {
        return NULL;
    }
    uint8_t *out = (uint8_t *)PyBytes_AS_STRING(decoded);
    if (!decode_digits(characters, length - padding, out)) {
        Py_DECREF(decoded);
        Py_RETURN_NONE;
    }
    return decoded;
}

/* Write the four characters for up to three bytes. */
static void
encode_group(const uint8_t *bytes, size_t count, char *out)
{
    uint32_t bits = (uint32_t)bytes[0] << 16 | (count > 1 ? (uint32_t)bytes[1] << 8 : 0)
                    | (count > 2 ? bytes[2] : 0);
    memset(out, '=', 4);
    out[0] = digits_of_base64[bits >> 18 & 0x3f];
    out[1] = digits_of_base64[bits >> 12 & 0x3f];
    if (count > 1) {
        out[2] = digits_of_base64[bits >> 6 & 0x3f];
    }
    if (count > 2) {
        out[3] = digits_of_base64[bits & 0x3f];
    }
}

void
base64_encode(const char *bytes, size_t length, char *out)
{
    const uint8_t *values = (const uint8_t *)bytes;
    for (size_t i = 0; i < length; i += 3, out += 4) {
        encode_group(values + i, length - i < 3 ? length - i : 3, out);
    }
}

PyDoc_STRVAR(decode_base64_doc,
"decode_base64($module, text, /)\n--\n\n"
"Return the bytes of a base64 text; None if it has other characters, or no whole number of groups of four.");

static PyObject *
decode_base64(PyObject *Py_UNUSED(module), PyObject *given)
{
    if (!PyBytes_CheckExact(given)) {
        Py_RETURN_NONE;
    }
    return base64_decode(PyBytes_AS_STRING(given), PyBytes_GET_SIZE(given));
}

static PyMethodDef base64_functions[] = {
    {"decode_base64", decode_base64, METH_O, decode_base64_doc},
    {NULL, NULL, 0, NULL},
};

int
base64_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, base64_functions);
}
