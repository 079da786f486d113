"""Writes the Rust tables of src/pattern/tables.rs from this Python's own str methods.

Run with Python 3.11 (Unicode 14):

    python3 record_unicode.py > ../../src/pattern/tables.rs
"""

import re
import sys
import unicodedata

import _sre

if sys.version_info[:2] != (3, 11):
    sys.exit("the tables must be those of Python 3.11")


def ranges(predicate):
    out = []
    for code in range(0x80, 0x110000):
        if predicate(chr(code)):
            if out and out[-1][1] == code - 1:
                out[-1][1] = code
            else:
                out.append([code, code])
    return out


def print_rows(rows):
    line = "   "
    for row in rows:
        if len(line) + 1 + len(row) > 99:
            print(line)
            line = "   "
        line += " " + row
    print(line)


def print_ranges(name, doc, found):
    print(f"\n/// {doc}")
    print("#[rustfmt::skip]")
    print(f"pub(super) const {name}: &[(u32, u32)] = &[")
    print_rows([f"({lo:#x},{hi:#x})," for lo, hi in found])
    print("];")


def lower_runs():
    """(first, last, stride, distance) of the characters that `_sre` lowers."""
    out = []
    for code in range(0x80, 0x110000):
        lowered = _sre.unicode_tolower(code)
        if lowered == code:
            continue
        distance = lowered - code
        if out:
            run = out[-1]
            gap = code - run[1]
            if run[3] == distance and gap in (1, 2) and (run[2] in (0, gap)):
                run[1] = code
                run[2] = gap
                continue
        out.append([code, code, 0, distance])
    return out


def checksum(codes):
    """64 bits of FNV-1a over the numbers, as `tests` in charset.rs computes it."""
    value = 0xCBF29CE484222325
    for code in codes:
        value = (value ^ code) * 0x100000001B3 % (1 << 64)
    return value


def print_checksum(name, codes):
    print(f"    pub(in super::super) const {name}: u64 = {checksum(codes):#x};")


def taken(pattern):
    match = re.compile(pattern).fullmatch
    return (code for code in range(0x110000) if match(chr(code)))


print("//! Unicode facts as Python 3.11 sees them, for characters from U+0080 on.")
print("//!")
print(f"//! Written by `record_unicode.py` with Unicode {unicodedata.unidata_version}; do not edit.")
print_ranges("WORD", "What `\\w` takes: `str.isalnum`.", ranges(str.isalnum))
print_ranges("DIGIT", "What `\\d` takes: `str.isdecimal`.", ranges(str.isdecimal))
print_ranges("SPACE", "What `\\s` takes: `str.isspace`.", ranges(str.isspace))
print("\n/// Simple lower case: first and last character, stride, and distance to the lowered one.")
print("#[rustfmt::skip]")
print("pub(super) const LOWER: &[(u32, u32, u32, i32)] = &[")
print_rows([f"({a:#x},{b:#x},{max(s, 1)},{d})," for a, b, s, d in lower_runs()])
print("];")

print("\n/// Checksums of what `re` itself says about every code point, for the tests.")
print("#[cfg(test)]")
print("pub(super) mod checksums {")
print_checksum("WORD", taken(r"\w"))
print_checksum("DIGIT", taken(r"\d"))
print_checksum("SPACE", taken(r"\s"))
print_checksum("LOWER", map(_sre.unicode_tolower, range(0x110000)))
print("}")
