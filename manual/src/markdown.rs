//! Documents in Markdown as pages, so that a text is written once.
//!
//! What the documents of this repository use: headings, paragraphs, lists, tables, blocks of code, links. The first column of a table is a list
//! of terms, the others say what each means. A link to a document becomes its text, one to elsewhere shows where it leads.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::Page;

impl Page {
    /// The page that says what the document `text` says. Its title is left to the caller, who names the page.
    pub fn markdown(text: &str) -> Self {
        let mut writer = Writer::default();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            writer.event(event);
        }
        writer.page
    }
}

/// A page, and what of the document is not in it yet.
#[derive(Default)]
struct Writer {
    page: Page,
    /// Running text, with code in backticks as [`Page`] takes it.
    text: String,
    /// The cells of the row so far, and those of the head.
    row: Vec<String>,
    head: Vec<String>,
    in_code: bool,
    in_item: bool,
    /// Where the link leads that is open, if the reader is to see it.
    link: Option<String>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text.push_str(&text),
            Event::Code(code) => self.text.push_str(&format!("`{code}`")),
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Item => self.in_item = true,
            Tag::CodeBlock(_) => {
                self.in_code = true;
                self.flush();
            }
            Tag::Strong => self.text.push('`'),
            Tag::Link { dest_url, .. } => {
                self.link = Some(dest_url.into_string()).filter(|url| url.contains("://"));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level as usize),
            TagEnd::Paragraph => self.flush(),
            TagEnd::Item => {
                self.flush();
                self.in_item = false;
            }
            TagEnd::CodeBlock => {
                self.in_code = false;
                let code = std::mem::take(&mut self.text);
                self.page.verbatim(code.trim_end());
            }
            TagEnd::Strong => self.text.push('`'),
            TagEnd::Link => {
                if let Some(url) = self.link.take().filter(|url| *url != self.text) {
                    self.text.push_str(&format!(" ({url})"));
                }
            }
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.text)),
            TagEnd::TableHead => self.head = std::mem::take(&mut self.row),
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    fn heading(&mut self, level: usize) {
        let title = std::mem::take(&mut self.text).replace('`', "");
        match level {
            1 => self.page.heading("DESCRIPTION"),
            2 => self.page.heading(&title.to_uppercase()),
            _ => self.page.subheading(&title),
        }
    }

    /// The running text so far as a paragraph.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        match (text.is_empty(), self.in_item) {
            (true, _) => {}
            (false, true) => self.page.bullet(&text),
            (false, false) => self.page.paragraph(&text),
        }
    }

    /// A row: the term, and what each other column says of it. With several of them each says which it is.
    fn row(&mut self) {
        let row = std::mem::take(&mut self.row);
        let Some((term, meanings)) = row.split_first() else {
            return;
        };
        let several = meanings.len() > 1;
        let said = |(meaning, head): (&String, &String)| match several && !head.is_empty() {
            true => format!("{head}: {meaning}"),
            false => meaning.clone(),
        };
        let mut said = meanings.iter().zip(self.head.iter().skip(1)).map(said);
        self.page
            .term(&term.replace('`', ""), &said.next().unwrap_or_default());
        said.for_each(|also| self.page.also(&also));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roff(text: &str) -> String {
        Page::markdown(text).into_roff()
    }

    #[test]
    fn headings_paragraphs_and_lists() {
        assert_eq!(
            roff(
                "# Title\n\nA **word**, `code`\nand [a link](x.md).\n\n## Next `one`\n\n- first\n- [second](https://x.y/)\n"
            ),
            ".SH \"DESCRIPTION\"\nA \\fBword\\fR, \\fBcode\\fR\nand a link.\n.SH \"NEXT ONE\"\n.IP \\(bu 2\nfirst\n.IP \\(bu 2\nsecond (https://x.y/)\n"
        );
    }

    #[test]
    fn a_block_of_code_is_kept_as_it_is() {
        assert_eq!(
            roff("Say:\n\n```sh\necho `x` **y**\n\n.z\n```\n"),
            ".PP\nSay:\n.PP\n.RS 4\n.nf\necho \\(gax\\(ga **y**\n\n\\&.z\n.fi\n.RE\n"
        );
    }

    #[test]
    fn a_table_is_a_list_of_terms() {
        assert_eq!(
            roff("| event | when |\n|---|---|\n| `a`, `b` | it *is* `so` |\n"),
            ".TP\n\\fBa, b\\fR\nit is \\fBso\\fR\n"
        );
        assert_eq!(
            roff("| | yours | theirs |\n|---|---|---|\n| hooks | x | y |\n"),
            ".TP\n\\fBhooks\\fR\nyours: x\n.br\ntheirs: y\n"
        );
    }
}
