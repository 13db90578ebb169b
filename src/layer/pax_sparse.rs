//! Sparse files in newer GNU formats. The map is in PAX records, one per number (0.0) or one in all (0.1), or precedes
//! the data (1.0). Spec: GNU tar manual, "Storing Sparse Files".

use std::io;

use super::invalid::invalid;
use super::pax_value::{name, number};
use super::sparse::{Extent, MAX_EXTENTS};

/// Maximum digits of a number in a map; each extent has two numbers.
const DIGITS: u32 = 19;

/// The sparse-file records of one entry as they were read.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    size: Option<u64>,
    count: Option<u64>,
    /// Offsets and lengths in turn.
    numbers: Vec<u64>,
    form: Option<SparseFormat>,
}

/// The format version, which decides where the map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SparseFormat {
    /// 0.0.
    V0_0,
    /// 0.1.
    V0_1,
}

/// A sparse file as described by its records.
#[derive(Debug)]
pub(super) struct PaxSparse {
    /// Its name, if the header has another one for readers without support for sparse files.
    pub(super) name: Option<Vec<u8>>,
    /// Bytes of the file, including holes.
    pub(super) size: u64,
    /// The stored extents; `None` if the map precedes the data.
    pub(super) extents: Option<Vec<Extent>>,
}

impl SparseRecords {
    /// Reads a record by its key without `GNU.sparse.`.
    pub(super) fn read(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        match key {
            b"major" => once(&mut self.major, unsigned(value)?),
            b"minor" => once(&mut self.minor, unsigned(value)?),
            b"name" if !value.is_empty() => once(&mut self.name, name(value)?),
            // `size` in older formats, `realsize` in newer ones.
            b"size" | b"realsize" => once(&mut self.size, unsigned(value)?),
            b"numblocks" => once(&mut self.count, unsigned(value)?),
            b"offset" if self.numbers.len().is_multiple_of(2) => self.one(value),
            b"numbytes" if !self.numbers.len().is_multiple_of(2) => self.one(value),
            b"map" if self.form.is_none() => {
                self.form = Some(SparseFormat::V0_1);
                let numbers = value.split(|&byte| byte == b',').filter(|_| !value.is_empty());
                numbers.take(2 * MAX_EXTENTS + 1).try_for_each(|number| self.push(number))
            }
            _ => Err(invalid_map()),
        }
    }

    fn one(&mut self, value: &[u8]) -> io::Result<()> {
        if *self.form.get_or_insert(SparseFormat::V0_0) != SparseFormat::V0_0 {
            return Err(invalid_map());
        }
        self.push(value)
    }

    fn push(&mut self, value: &[u8]) -> io::Result<()> {
        self.numbers.push(unsigned(value)?);
        if self.numbers.len() > 2 * MAX_EXTENTS {
            return Err(invalid("has a sparse file with too many holes"));
        }
        Ok(())
    }

    /// Checks the records against each other and combines them.
    pub(super) fn validate(self) -> io::Result<PaxSparse> {
        let Self { major, minor, name, size, count, numbers, form } = self;
        let in_front = match (major, minor, form) {
            (Some(1), Some(0), None) => true,
            (None, None, Some(_))
            | (Some(0), Some(0), Some(SparseFormat::V0_0))
            | (Some(0), Some(1), Some(SparseFormat::V0_1)) => false,
            // Without any extent there is no map record.
            (None, None, None) if count == Some(0) => false,
            _ => return Err(invalid("has a sparse file in an unknown format")),
        };
        let size = size.ok_or_else(invalid_map)?;
        if in_front {
            return match count {
                None => Ok(PaxSparse { name, size, extents: None }),
                Some(_) => Err(invalid_map()),
            };
        }
        if count.and_then(|count| count.checked_mul(2)) != Some(numbers.len() as u64) {
            return Err(invalid_map());
        }
        Ok(PaxSparse { name, size, extents: Some(pairs(&numbers)) })
    }
}

/// Parses the map in front of the data block by block: the number of extents, then offset and length of each, one
/// number a line.
#[derive(Debug, Default)]
pub(super) struct SparseMapParser {
    numbers: Vec<u64>,
    /// The current number, and its digits so far.
    number: u64,
    digits: u32,
}

impl SparseMapParser {
    /// Parses one block. Returns the extents after the last block of the map.
    pub(super) fn read(&mut self, block: &[u8]) -> io::Result<Option<Vec<Extent>>> {
        for &byte in block {
            match byte {
                b'0'..=b'9' if self.digits < DIGITS => {
                    self.number = 10 * self.number + u64::from(byte - b'0');
                    self.digits += 1;
                }
                b'\n' if self.digits > 0 => {
                    self.numbers.push(std::mem::take(&mut self.number));
                    self.digits = 0;
                    if let Some((count, numbers)) = self.numbers.split_first() {
                        if *count > MAX_EXTENTS as u64 {
                            return Err(invalid("has a sparse file with too many holes"));
                        }
                        if 2 * *count == numbers.len() as u64 {
                            return Ok(Some(pairs(numbers)));
                        }
                    }
                }
                _ => return Err(invalid_map()),
            }
        }
        Ok(None)
    }
}

fn pairs(numbers: &[u64]) -> Vec<Extent> {
    let pair = |pair: &[u64]| match *pair {
        [offset, length] => Some(Extent { offset, length }),
        _ => None,
    };
    numbers.chunks(2).filter_map(pair).collect()
}

/// Rejects conflicting records for the same value, which readers could interpret differently.
fn once<T: PartialEq>(current: &mut Option<T>, value: T) -> io::Result<()> {
    match current {
        Some(current) if *current != value => Err(invalid_map()),
        _ => {
            *current = Some(value);
            Ok(())
        }
    }
}

fn unsigned(value: &[u8]) -> io::Result<u64> {
    u64::try_from(number(value)?).map_err(|_| invalid_map())
}

fn invalid_map() -> io::Error {
    invalid("has a sparse file with an invalid map")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(records: &str) -> Result<PaxSparse, String> {
        let mut read = SparseRecords::default();
        for record in records.split_whitespace() {
            let (key, value) = record.split_once('=').unwrap();
            read.read(key.as_bytes(), value.as_bytes()).map_err(|error| error.to_string())?;
        }
        read.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn sparse_formats_of_gnu_tar_are_parsed() {
        let extents = |pairs: &[(u64, u64)]| {
            Some(pairs.iter().map(|&(offset, length)| Extent { offset, length }).collect())
        };
        for (records, size, wanted) in [
            (
                "size=9 numblocks=2 offset=0 numbytes=1 offset=4 numbytes=2",
                9,
                extents(&[(0, 1), (4, 2)]),
            ),
            ("numblocks=1 size=9 map=4,2 name=a", 9, extents(&[(4, 2)])),
            ("major=0 minor=1 numblocks=1 size=9 map=4,2", 9, extents(&[(4, 2)])),
            ("major=0 minor=0 numblocks=1 size=9 offset=4 numbytes=2", 9, extents(&[(4, 2)])),
            ("numblocks=0 size=9", 9, extents(&[])),
            ("numblocks=0 size=9 map=", 9, extents(&[])),
            ("major=1 minor=0 realsize=9 name=a", 9, None),
            ("major=1 minor=0 realsize=9 size=9", 9, None),
        ] {
            let sparse = validate(records).unwrap_or_else(|error| panic!("{records}: {error}"));
            assert_eq!((sparse.size, sparse.extents), (size, wanted), "{records}");
            assert_eq!(sparse.name.is_some(), records.contains("name=a"), "{records}");
        }
    }

    #[test]
    fn sparse_ambiguous_records_are_rejected() {
        for records in [
            "name=a",
            "size=9",
            "realsize=9 name=a",
            "major=1 realsize=9",
            "major=1 minor=1 realsize=9",
            "major=2 minor=0 realsize=9",
            "major=0 minor=1 size=9 numblocks=1 offset=0 numbytes=1",
            "major=0 minor=0 size=9 numblocks=1 map=0,1",
            "major=1 minor=0 name=a",
            "major=1 minor=0 realsize=9 size=8",
            "major=1 minor=0 realsize=9 numblocks=1",
            "major=1 minor=0 realsize=9 map=0,1 numblocks=1",
            "size=9 numblocks=2 offset=0 numbytes=1",
            "size=9 offset=0 numbytes=1",
            "numblocks=1 offset=0 numbytes=1",
            "size=9 numblocks=1 numbytes=1 offset=0",
            "size=9 numblocks=1 offset=0 offset=0 numbytes=1",
            "size=9 numblocks=2 offset=0 numbytes=1 map=4,1",
            "size=9 numblocks=2 map=4,1 offset=0 numbytes=1",
            "size=9 numblocks=1 map=4,1 map=5,1",
            "size=9 numblocks=1 map=4",
            "size=9 numblocks=1 map=4,",
            "size=9 numblocks=1 map=4,1,",
            "size=9 numblocks=1 map=4,-1",
            "size=9 numblocks=1 map=4,18446744073709551615",
            "size=-9 numblocks=0",
            "size= numblocks=0",
            "size=9 size=8 numblocks=0",
            "size=9 numblocks=0 numblocks=1",
            "size=9 numblocks=9223372036854775807",
            "size=9 numblocks=0 name=",
            "size=9 numblocks=0 name=a name=b",
            "size=9 numblocks=0 unknown=1",
        ] {
            assert!(validate(records).is_err(), "{records}");
        }
        let many =
            format!("size=9 numblocks={0} map={1}0,0", MAX_EXTENTS + 1, "0,0,".repeat(MAX_EXTENTS));
        assert!(validate(&many).unwrap_err().contains("too many holes"));
    }

    fn read(text: &str) -> Result<Option<Vec<Extent>>, String> {
        let mut parser = SparseMapParser::default();
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        for block in bytes.chunks(512) {
            if let Some(found) = parser.read(block).map_err(|error| error.to_string())? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    #[test]
    fn sparse_map_before_data_is_parsed() {
        assert_eq!(read("0\n").unwrap(), Some(vec![]));
        let two = vec![Extent { offset: 0, length: 512 }, Extent { offset: 4096, length: 0 }];
        assert_eq!(read("2\n0\n512\n4096\n0\nrest").unwrap(), Some(two));
        let long = format!("300\n{}", "10000\n".repeat(600));
        assert_eq!(read(&long).unwrap().unwrap().len(), 300);
        for text in ["\n", "1\n0\n", "1\n0\n5", "1\n\n5\n", "-1\n", "1,0,5\n", "x", " 1\n"] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read(&format!("{}\n", "1".repeat(20))).unwrap_err().contains("invalid map"));
        assert!(read(&format!("{}\n", MAX_EXTENTS + 1)).unwrap_err().contains("too many"));
    }
}
