//! Writes the header block of a tar entry. Spec: POSIX `pax`, "ustar Interchange Format"; GNU tar's manual, "Basic Tar
//! Format".

/// Size of a header in bytes. Entries are padded to a multiple of it.
pub(crate) const BLOCK_BYTES: usize = 512;

/// Size of the fields for the name and the link target, in bytes.
pub(crate) const NAME_BYTES: usize = 100;

/// Size of the field for the directories of a name, in bytes. GNU's format has none.
pub(crate) const PREFIX_BYTES: usize = 155;

/// The differences between tar formats.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    /// Names and numbers that do not fit are in PAX records before this entry, so its length depends on them.
    Pax,
    /// Numbers of any size fit, so a header can be rewritten when the size of its entry is known.
    Gnu,
}

/// The fields of a header. Numbers are digits, see [`octal`] and [`octal_or_binary`].
pub(crate) struct TarBlock<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) uid: Vec<u8>,
    pub(crate) gid: Vec<u8>,
    pub(crate) size: Vec<u8>,
    pub(crate) mtime: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) link: &'a [u8],
    pub(crate) device: [Vec<u8>; 2],
    pub(crate) prefix: &'a [u8],
}

/// Returns the number in octal digits for a field of this width; `None` if it does not fit.
pub(crate) fn octal(value: u64, width: usize) -> Option<Vec<u8>> {
    let digits = width - 1;
    let text = format!("{value:0digits$o}");
    (text.len() == digits).then(|| text.into_bytes())
}

/// As [`octal`], or as a binary number with the first bit set, as GNU tar writes numbers that do not fit.
pub(crate) fn octal_or_binary(value: u64, width: usize) -> Vec<u8> {
    octal(value, width).unwrap_or_else(|| {
        let mut field = vec![0; width.saturating_sub(8)];
        field.extend_from_slice(&value.to_be_bytes());
        if let Some(first) = field.first_mut() {
            *first |= 0x80;
        }
        field
    })
}

impl TarBlock<'_> {
    pub(crate) fn write(&self, dialect: Dialect, into: &mut Vec<u8>) {
        let [major, minor] = &self.device;
        let mode = octal(self.mode.into(), 8).unwrap_or_default();
        let magic = match dialect {
            Dialect::Pax => b"ustar\x0000",
            Dialect::Gnu => b"ustar  \0",
        };
        let front = [
            (self.name, NAME_BYTES),
            (&mode, 8),
            (&self.uid, 8),
            (&self.gid, 8),
            (&self.size, 12),
            (&self.mtime, 12),
        ];
        let back = [
            (&[self.kind][..], 1),
            (self.link, NAME_BYTES),
            (magic, 72),
            (major, 8),
            (minor, 8),
            (self.prefix, PREFIX_BYTES),
            (b"", 12),
        ];
        let (front, back) = (fields(&front), fields(&back));
        // The checksum field itself counts as spaces.
        let sum = front.iter().chain(&back).map(|&byte| u32::from(byte)).sum::<u32>()
            + 8 * u32::from(b' ');
        let sum = match dialect {
            Dialect::Pax => format!("{sum:06o}\0 "),
            // All readers accept both forms. Archives keep this one, so that their bytes do not change.
            Dialect::Gnu => format!("{sum:07o}\0"),
        };
        into.extend_from_slice(&front);
        into.extend_from_slice(sum.as_bytes());
        into.extend_from_slice(&back);
    }
}

fn fields(fields: &[(&[u8], usize)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES);
    for (field, width) in fields {
        let end = bytes.len() + width;
        bytes.extend_from_slice(field);
        bytes.resize(end, 0);
    }
    bytes
}
