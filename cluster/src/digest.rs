//! Sums by which two nodes find where they differ without sending what they have.
//!
//! Each entry has a digest, which is added to the sum of its bucket, modulo 2^128. A sum changes by an addition when an
//! entry does, and does not depend on the order. Whoever can make sums that are equal for different entries can make
//! nodes believe that they agree; it takes the cluster's key, or libraries made for it.

use std::collections::BTreeMap;

/// How many buckets there are.
pub const BUCKETS: u16 = 1024;

/// A name's bucket: FNV-1a, which is the same on every node.
#[must_use]
pub fn bucket_of(name: &str) -> u16 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    ((hash >> 32 ^ hash) % u64::from(BUCKETS)) as u16
}

/// The sums of buckets, without those that are zero.
pub type Buckets = BTreeMap<u16, u128>;

/// The sums of all entries.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Sums {
    total: u128,
    buckets: Buckets,
}

/// Adds to the sum of a bucket.
pub fn add(buckets: &mut Buckets, bucket: u16, digest: u128) {
    let sum = buckets.entry(bucket).or_default();
    *sum = sum.wrapping_add(digest);
    if *sum == 0 {
        buckets.remove(&bucket);
    }
}

impl Sums {
    /// An entry came.
    pub fn add(&mut self, bucket: u16, digest: u128) {
        add(&mut self.buckets, bucket, digest);
        self.total = self.total.wrapping_add(digest);
    }

    /// An entry went.
    pub fn subtract(&mut self, bucket: u16, digest: u128) {
        self.add(bucket, digest.wrapping_neg());
    }

    /// The sum of all.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.total
    }

    /// The sums by bucket.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }
}

/// A set of buckets.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct BucketSet([u64; BUCKETS as usize / 64]);

impl BucketSet {
    /// The buckets in which two lists of sums differ.
    #[must_use]
    pub fn unequal(a: &Buckets, b: &Buckets) -> BucketSet {
        let mut set = BucketSet::default();
        for &bucket in a.keys().chain(b.keys()).filter(|bucket| a.get(bucket) != b.get(bucket)) {
            set.0[usize::from(bucket) / 64] |= 1 << (bucket % 64);
        }
        set
    }

    /// Whether a bucket is in it.
    #[must_use]
    pub fn contains(&self, bucket: u16) -> bool {
        self.0[usize::from(bucket) / 64] >> (bucket % 64) & 1 == 1
    }

    /// The first bucket from `from` on.
    #[must_use]
    pub fn first_from(&self, from: u16) -> Option<u16> {
        (from..BUCKETS).find(|&bucket| self.contains(bucket))
    }

    /// Its words.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// Out of words.
    #[must_use]
    pub fn from_words(words: [u64; BUCKETS as usize / 64]) -> BucketSet {
        BucketSet(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_the_order_and_come_back_to_zero() {
        let (mut a, mut b) = (Sums::default(), Sums::default());
        a.add(1, u128::MAX);
        a.add(1, 7);
        b.add(1, 7);
        b.add(1, u128::MAX);
        assert_eq!(a, b);
        a.subtract(1, 7);
        a.subtract(1, u128::MAX);
        assert_eq!(a, Sums::default());
    }

    #[test]
    fn unequal_buckets_are_found() {
        let (mut a, b) = (Sums::default(), Sums::default());
        a.add(1023, 1);
        a.add(64, 1);
        let set = BucketSet::unequal(a.buckets(), b.buckets());
        assert_eq!(set.first_from(0), Some(64));
        assert_eq!(set.first_from(65), Some(1023));
        assert!(!set.contains(63));
    }
}
