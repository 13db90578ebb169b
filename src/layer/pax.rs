//! Records of a PAX header: `LENGTH KEY=VALUE\n`, each as long as it says. Spec: POSIX `pax`, "Extended Header".

/// All keys and values in order; `None` if anything is malformed. A value may contain any bytes, even newlines.
pub(crate) fn records(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let digits = bytes.iter().position(|&byte| byte == b' ')?;
        let length = length(bytes.get(..digits)?)?;
        let record = bytes.get(digits + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=')?;
        found.push((record.get(..equals)?, record.get(equals + 1..)?));
        bytes = bytes.get(length..)?;
    }
    Some(found)
}

/// The length of a record: digits only, as other readers see it.
fn length(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    // `parse` also accepts a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn record_value_may_contain_newlines() {
        let read = records(b"11 path=ab\n22 SCHILY.xattr.x=\n\n=\n").unwrap();
        assert_eq!(read, [(&b"path"[..], &b"ab"[..]), (b"SCHILY.xattr.x", b"\n\n=")]);
        assert_eq!(records(b"").unwrap(), []);
        for odd in [
            &b"11 path=ab"[..],
            b"12 path=ab\n",
            b"10 path=ab\n",
            b"path=ab\n",
            b" =\n",
            b"0 a=b\n",
            b"11 path=ab\n\n",
            b"11 path=ab\n\0",
            b"8 path!\n",
            b"99999999999999999999 a=b\n",
            b"+12 path=ab\n",
        ] {
            assert!(records(odd).is_none(), "{}", String::from_utf8_lossy(odd));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), length in 0_usize..90) {
            prop_assert!(records(&bytes).is_none_or(|found| found.len() <= bytes.len()));
            let prefixed = [format!("{length} a=").as_bytes(), &bytes].concat();
            prop_assert!(records(&prefixed).is_none_or(|found| !found.is_empty()));
        }
    }
}
