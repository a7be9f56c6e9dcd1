//! Digests: SHA-256 of bytes, and the order-free sum that a table's fingerprint is.

use sha2::{Digest as _, Sha256};

/// SHA-256 of `bytes` as 64 lower case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

/// SHA-256 over several parts, each preceded by its length, so that no two lists of parts collide.
pub fn hex_parts<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    to_hex(&hasher.finalize())
}

/// HMAC-SHA-256 of `bytes` under `key`, 64 hex digits: who has no key cannot try values against it.
pub fn keyed(key: &[u8], bytes: &[u8]) -> String {
    let mut mac = <hmac::Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("invariant: any length is a key");
    hmac::Mac::update(&mut mac, bytes);
    to_hex(&hmac::Mac::finalize(mac).into_bytes())
}

/// The first 12 digits, enough for a person to recognise.
pub fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Sum of row hashes modulo 2^256: order does not matter, multiplicity does.
///
/// It stands against accident and ordinary tampering, not against someone who may choose
/// tens of thousands of rows (generalised birthday attack on sums).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSum {
    limbs: [u64; 4],
    /// Rows added so far.
    pub rows: u64,
    /// Bytes of all rows added so far.
    pub bytes: u64,
}

impl RowSum {
    /// Adds one row, given as its binary COPY framing.
    pub fn add_row(&mut self, row: &[u8]) {
        self.add(&Sha256::digest(row), row.len() as u64);
    }

    /// Adds one row whose framing came in parts.
    pub fn add_hash(&mut self, row: RowHash) {
        self.add(&row.hasher.finalize(), row.bytes);
    }

    fn add(&mut self, hash: &[u8], bytes: u64) {
        let mut limbs = [0u64; 4];
        for (limb, chunk) in limbs.iter_mut().zip(hash.chunks_exact(8).rev()) {
            *limb = u64::from_be_bytes(chunk.try_into().expect("invariant: chunks of eight bytes"));
        }
        self.add_limbs(limbs);
        self.rows += 1;
        self.bytes += bytes;
    }

    /// The sum that `hex` printed.
    pub fn of_hex(hex: &str, rows: u64, bytes: u64) -> Option<RowSum> {
        let mut limbs = [0u64; 4];
        for (at, limb) in limbs.iter_mut().rev().enumerate() {
            *limb = u64::from_str_radix(hex.get(at * 16..at * 16 + 16)?, 16).ok()?;
        }
        (hex.len() == 64).then_some(RowSum { limbs, rows, bytes })
    }

    /// Adds what another worker has summed.
    pub fn merge(&mut self, other: &RowSum) {
        self.add_limbs(other.limbs);
        self.rows += other.rows;
        self.bytes += other.bytes;
    }

    /// Takes away what was added before.
    pub fn take_away(&mut self, other: &RowSum) {
        let mut borrow = false;
        for (limb, less) in self.limbs.iter_mut().zip(other.limbs) {
            let (rest, under1) = limb.overflowing_sub(less);
            let (rest, under2) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, under1 || under2);
        }
        self.rows = self.rows.wrapping_sub(other.rows);
        self.bytes = self.bytes.wrapping_sub(other.bytes);
    }

    fn add_limbs(&mut self, other: [u64; 4]) {
        let mut carry = false;
        for (limb, add) in self.limbs.iter_mut().zip(other) {
            let (sum, over1) = limb.overflowing_add(add);
            let (sum, over2) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over1 || over2);
        }
    }

    /// The sum as 64 hex digits, most significant first.
    pub fn hex(&self) -> String {
        self.limbs.iter().rev().map(|limb| format!("{limb:016x}")).collect()
    }
}

/// The hash of one row that is too large to be held whole.
#[derive(Clone, Debug, Default)]
pub struct RowHash {
    hasher: Sha256,
    bytes: u64,
}

impl RowHash {
    /// Adds the next part of its framing.
    pub fn update(&mut self, part: &[u8]) {
        self.hasher.update(part);
        self.bytes += part.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_free_and_multiplicity_counts() {
        let sum = |rows: &[&[u8]]| {
            let mut s = RowSum::default();
            for row in rows {
                s.add_row(row);
            }
            s.hex()
        };
        assert_eq!(sum(&[b"a", b"b"]), sum(&[b"b", b"a"]));
        assert_ne!(sum(&[b"a", b"a"]), sum(&[]));
        assert_ne!(sum(&[b"a", b"b"]), sum(&[b"a", b"b", b"b", b"b"]));
    }

    #[test]
    fn one_row_sums_to_its_sha256() {
        let mut s = RowSum::default();
        s.add_row(b"row");
        assert_eq!(s.hex(), hex(b"row"));
        let mut twice = s.clone();
        twice.merge(&s);
        assert_eq!(RowSum::of_hex(&twice.hex(), twice.rows, twice.bytes), Some(twice.clone()));
        assert_eq!(twice.rows, 2);
        assert_eq!(twice.bytes, 6);
    }

    #[test]
    fn what_is_taken_away_leaves_the_rest() {
        let sum = |rows: &[&[u8]]| {
            let mut sum = RowSum::default();
            for row in rows {
                sum.add_row(row);
            }
            sum
        };
        for n in 0..40_u8 {
            let (a, b) = ([n, 1], [n, 2]);
            let mut both = sum(&[&a, &b, b"c"]);
            both.take_away(&sum(&[&b, b"c"]));
            assert_eq!(both, sum(&[&a]), "{n}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hex_parts([b"ab".as_slice(), b"c"]), hex_parts([b"a".as_slice(), b"bc"]));
    }
}
