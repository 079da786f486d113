//! Which characters a test takes, as Python 3.11 (Unicode 14) sees them.

use super::ast::{Category, CategoryKind, Flags, SetItem};
use super::tables;

/// How a character of the text is changed before it is looked up or compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    None,
    Ascii,
    Unicode,
}

impl Fold {
    pub(super) fn of(flags: Flags) -> Fold {
        match (flags.has(Flags::IGNORE_CASE), flags.unicode()) {
            (false, _) => Fold::None,
            (true, false) => Fold::Ascii,
            (true, true) => Fold::Unicode,
        }
    }

    pub(super) fn apply(self, code: u32) -> u32 {
        match self {
            Fold::None => code,
            Fold::Unicode if code >= 0x80 => lower(code),
            Fold::Ascii | Fold::Unicode => match code {
                0x41..=0x5a => code + 0x20,
                _ => code,
            },
        }
    }
}

/// Python's simple lower case of a character beyond ASCII.
fn lower(code: u32) -> u32 {
    let after = tables::LOWER.partition_point(|(first, ..)| *first <= code);
    match after.checked_sub(1).and_then(|at| tables::LOWER.get(at)) {
        Some((first, last, stride, distance)) if code <= *last && (code - first).is_multiple_of(*stride) => {
            code.saturating_add_signed(*distance)
        }
        _ => code,
    }
}

fn in_ranges(ranges: &[(u32, u32)], code: u32) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= code);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| code <= *last)
}

/// Whether a character is of a kind; `unicode` is off under `(?a)`.
pub(super) fn is_kind(kind: CategoryKind, unicode: bool, code: u32) -> bool {
    if code >= 0x80 {
        let table = match kind {
            CategoryKind::Digit => tables::DIGIT,
            CategoryKind::Space => tables::SPACE,
            CategoryKind::Word => tables::WORD,
        };
        return unicode && in_ranges(table, code);
    }
    match kind {
        CategoryKind::Digit => matches!(code, 0x30..=0x39),
        // The four separators are blank for str.isspace only.
        CategoryKind::Space => matches!(code, 0x09..=0x0d | 0x20) || unicode && matches!(code, 0x1c..=0x1f),
        CategoryKind::Word => matches!(code, 0x30..=0x39 | 0x41..=0x5a | 0x5f | 0x61..=0x7a),
    }
}

/// A set of characters, made for fast look-up.
#[derive(Clone, Debug)]
pub(super) struct CharSet {
    negated: bool,
    fold: Fold,
    unicode: bool,
    /// One bit for each ASCII character.
    ascii: u128,
    /// Beyond ASCII: ascending, apart from each other.
    ranges: Vec<(u32, u32)>,
    /// Beyond ASCII, those that are not empty or everything.
    categories: Vec<Category>,
}

impl CharSet {
    /// Fails with a reason for what is not supported.
    pub(super) fn new(items: &[SetItem], negated: bool, flags: Flags) -> Result<CharSet, &'static str> {
        let mut set = CharSet {
            negated,
            fold: Fold::None,
            unicode: flags.unicode(),
            ascii: 0,
            ranges: Vec::new(),
            categories: Vec::new(),
        };
        let fold = Fold::of(flags);
        if fold != Fold::None && items.iter().any(|item| has_case(*item)) {
            set.fold = fold;
        }
        for item in items {
            match *item {
                SetItem::Literal(code) => set.add(fold, code, code)?,
                SetItem::Range(first, last) => set.add(fold, first, last)?,
                SetItem::Category(category) => set.add_category(category),
            }
        }
        if set.fold == Fold::Unicode {
            // Python's extra cases: dotless i and long s fold to i and s.
            if literal_or_range(items, 0x49, 0x69) {
                set.ranges.push((0x131, 0x131));
            }
            if literal_or_range(items, 0x53, 0x73) {
                set.ranges.push((0x17f, 0x17f));
            }
        }
        set.ranges = merged(std::mem::take(&mut set.ranges));
        Ok(set)
    }

    fn add(&mut self, fold: Fold, first: u32, last: u32) -> Result<(), &'static str> {
        match fold {
            Fold::Unicode if last >= 0x80 => {
                return Err("characters beyond ASCII are not supported with the flag 'i'");
            }
            Fold::Ascii if last >= 0x1_0000 => {
                return Err("characters beyond U+FFFF are not supported with the flags 'a' and 'i'");
            }
            _ => {}
        }
        for code in first..=last.min(0x7f) {
            self.ascii |= bit(fold.apply(code));
        }
        if last >= 0x80 {
            self.ranges.push((first.max(0x80), last));
        }
        Ok(())
    }

    fn add_category(&mut self, category: Category) {
        for code in 0..0x80 {
            if is_kind(category.kind, self.unicode, code) != category.negated {
                self.ascii |= bit(code);
            }
        }
        if self.unicode {
            if !self.categories.contains(&category) {
                self.categories.push(category);
            }
        } else if category.negated {
            self.ranges.push((0x80, u32::MAX));
        }
    }

    pub(super) fn contains(&self, code: u32) -> bool {
        let code = self.fold.apply(code);
        let found = if code < 0x80 {
            self.ascii & bit(code) != 0
        } else {
            in_ranges(&self.ranges, code)
                || self.categories.iter().any(|category| is_kind(category.kind, self.unicode, code) != category.negated)
        };
        found != self.negated
    }
}

/// The bit of an ASCII character.
fn bit(code: u32) -> u128 {
    1u128.checked_shl(code).unwrap_or(0)
}

/// Whether a member names an ASCII letter; other characters with case are refused.
fn has_case(item: SetItem) -> bool {
    let letter = |first: u32, last: u32| (first <= 0x5a && last >= 0x41) || (first <= 0x7a && last >= 0x61);
    match item {
        SetItem::Literal(code) => letter(code, code),
        SetItem::Range(first, last) => letter(first, last),
        SetItem::Category(_) => false,
    }
}

/// Whether a letter is in the set by itself or in a range, rather than in a category.
fn literal_or_range(items: &[SetItem], upper: u32, lower: u32) -> bool {
    items.iter().any(|item| match *item {
        SetItem::Literal(code) => code == upper || code == lower,
        SetItem::Range(first, last) => (first..=last).contains(&upper) || (first..=last).contains(&lower),
        SetItem::Category(_) => false,
    })
}

fn merged(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut out: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => out.push((first, last)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(codes: impl Iterator<Item = u32>) -> u64 {
        codes.fold(0xcbf2_9ce4_8422_2325, |value, code| (value ^ u64::from(code)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn every_code_point_is_what_it_is_to_python() {
        let taken = |kind| checksum((0..0x11_0000).filter(move |code| is_kind(kind, true, *code)));
        assert_eq!(taken(CategoryKind::Word), tables::checksums::WORD);
        assert_eq!(taken(CategoryKind::Digit), tables::checksums::DIGIT);
        assert_eq!(taken(CategoryKind::Space), tables::checksums::SPACE);
        let lowered = (0..0x11_0000).map(|code| Fold::Unicode.apply(code));
        assert_eq!(checksum(lowered), tables::checksums::LOWER);
    }
}
