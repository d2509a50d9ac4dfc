//! Text in the macros of man(7), for what no command line describes: configuration files, exit codes, topics.
//!
//! Text goes in as people write it, with `` `code` `` in backticks; what roff would take for a request or an escape is protected.

use std::fmt::Write as _;

/// A page, or what is appended to one.
#[derive(Clone, Debug, Default)]
pub struct Page {
    roff: String,
    /// The last line is a heading, which begins a paragraph itself.
    begun: bool,
}

impl Page {
    /// How a page of its own begins.
    pub(crate) fn head(
        name: &str,
        section: u8,
        date: &str,
        source: &str,
        manual: &str,
        about: &str,
    ) -> Self {
        let mut page = Self::default();
        let upper = escape(&name.to_uppercase());
        page.line(&format!(
            ".TH \"{upper}\" \"{section}\" \"{date}\" \"{}\" \"{manual}\"",
            escape(source)
        ));
        page.heading("NAME");
        page.line(&format!("{} \\- {}", escape(name), escape(about)));
        page
    }

    /// Begins a section.
    pub fn heading(&mut self, title: &str) {
        self.line(&format!(".SH \"{}\"", escape(title)));
        self.begun = true;
    }

    /// Begins a part of a section.
    pub fn subheading(&mut self, title: &str) {
        self.line(&format!(".SS \"{}\"", escape(title)));
        self.begun = true;
    }

    /// A paragraph of running text.
    pub fn paragraph(&mut self, text: &str) {
        self.begin();
        self.prose(text);
    }

    /// A term with what it means.
    pub fn term(&mut self, term: &str, meaning: &str) {
        self.line(".TP");
        self.line(&format!("\\fB{}\\fR", escape(term)));
        self.prose(meaning);
    }

    /// Another sentence on a line of its own, in the paragraph or term before.
    pub fn also(&mut self, text: &str) {
        self.line(".br");
        self.prose(text);
    }

    /// One of several things.
    pub fn bullet(&mut self, text: &str) {
        self.line(".IP \\(bu 2");
        self.prose(text);
    }

    /// Lines that are kept as they are.
    pub fn verbatim(&mut self, text: &str) {
        self.begin();
        self.line(".RS 4");
        self.line(".nf");
        for line in text.lines() {
            self.line(&protect(&escape(line)));
        }
        self.line(".fi");
        self.line(".RE");
    }

    /// Other pages: name and section of each.
    pub fn see_also(&mut self, pages: &[(&str, u8)]) {
        self.heading("SEE ALSO");
        let pages: Vec<String> = pages
            .iter()
            .map(|(name, section)| format!("\\fB{}\\fR({section})", escape(name)))
            .collect();
        self.line(&pages.join(",\n"));
    }

    /// The page as roff.
    pub fn into_roff(self) -> String {
        self.roff
    }

    fn begin(&mut self) {
        if !self.begun {
            self.line(".PP");
        }
    }

    fn prose(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(&protect(&code(line)));
        }
    }

    fn line(&mut self, line: &str) {
        self.begun = false;
        let _infallible = writeln!(self.roff, "{line}");
    }
}

/// What is between backticks in bold. A single backtick stays one.
fn code(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let paired = parts.len() % 2 == 1;
    let mut out = String::new();
    for (index, part) in parts.iter().enumerate() {
        match index % 2 {
            1 if paired => {
                let _infallible = write!(out, "\\fB{}\\fR", escape(part));
            }
            _ if !paired && index > 0 => {
                let _infallible = write!(out, "\\(ga{}", escape(part));
            }
            _ => out.push_str(&escape(part)),
        }
    }
    out
}

/// Protects what means something to roff anywhere in a line.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\(rs"),
            '-' => out.push_str("\\-"),
            '"' => out.push_str("\\(dq"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            c => out.push(c),
        }
    }
    out
}

/// Protects a dot at the beginning, which would make the line a request. (A quote, the other one, is an escape already.)
fn protect(line: &str) -> String {
    match line.starts_with('.') {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_looks_like_roff_stays_text() {
        let mut page = Page::default();
        page.paragraph(".so /etc/passwd\n'br and \\fIx\\fP");
        page.verbatim(".x\n  kept");
        assert_eq!(
            page.into_roff(),
            ".PP\n\\&.so /etc/passwd\n\\(aqbr and \\(rsfIx\\(rsfP\n.PP\n.RS 4\n.nf\n\\&.x\n  kept\n.fi\n.RE\n"
        );
    }

    #[test]
    fn code_is_bold_and_a_lone_backtick_a_backtick() {
        assert_eq!(code("see `a-b` and `c`"), "see \\fBa\\-b\\fR and \\fBc\\fR");
        assert_eq!(code("a ` b"), "a \\(ga b");
    }
}
