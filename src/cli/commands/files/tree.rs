//! Names of paths indented by their depth.

use crate::error::Result;
use crate::escape;

/// The directories above the path that was printed last.
#[derive(Debug, Default)]
pub(super) struct TreeLines(Vec<Vec<u8>>);

impl TreeLines {
    /// Prints the name of a path with `print`, after those of its parents that were not printed yet with `parents`.
    pub(super) fn line(
        &mut self,
        path: &[u8],
        is_directory: bool,
        parents: impl Fn(&str) -> Result<()>,
        print: &mut impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let parts: Vec<&[u8]> =
            path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
        let Some((name, above)) = parts.split_last() else { return print("/") };
        let same = self.0.iter().zip(above).take_while(|(one, other)| one == *other).count();
        self.0.truncate(same);
        for part in above.iter().skip(same) {
            parents(&indented(self.0.len(), part, true))?;
            self.0.push(part.to_vec());
        }
        print(&indented(above.len(), name, is_directory))?;
        if is_directory {
            self.0.push(name.to_vec());
        }
        Ok(())
    }
}

fn indented(depth: usize, name: &[u8], is_directory: bool) -> String {
    let slash = if is_directory { "/" } else { "" };
    format!("{:1$}{2}{slash}", "", depth * 2, escape(&String::from_utf8_lossy(name)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn tree_lines_print_each_parent_once() {
        let (lines, mut tree) = (RefCell::new(Vec::new()), TreeLines::default());
        for (path, is_directory) in
            [("", true), ("a", true), ("a/b", false), ("c/d/\u{1b}e", false), ("c/f", false)]
        {
            let parents = |name: &str| {
                lines.borrow_mut().push(format!("({name})"));
                Ok(())
            };
            let mut print = |name: &str| {
                lines.borrow_mut().push(name.to_owned());
                Ok(())
            };
            tree.line(path.as_bytes(), is_directory, parents, &mut print).unwrap();
        }
        let wanted = ["/", "a/", "  b", "(c/)", "(  d/)", "    \\u{1b}e", "  f"];
        assert_eq!(*lines.borrow(), wanted);
    }
}
