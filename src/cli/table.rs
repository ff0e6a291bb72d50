//! Text in columns, as istioctl lays them out: every cell but the last of a row is padded to the widest of its
//! column and a gap.

/// Rows of text.
#[derive(Debug)]
pub(crate) struct Table {
    gap: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a header and `gap` blanks between columns.
    pub fn new(gap: usize, header: &[&str]) -> Self {
        let header = header.iter().map(|name| (*name).to_owned()).collect();
        Table {
            gap,
            rows: vec![header],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// All rows, each on a line.
    pub fn print(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter(|row| column + 1 < row.len());
            cells.map(|row| row[column].chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns)
            .map(|column| width(column).unwrap_or_default() + self.gap)
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                text += cell;
                if column + 1 < row.len() {
                    let blanks = widths[column] - cell.chars().count();
                    text.extend(std::iter::repeat_n(' ', blanks));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_the_gap() {
        let mut table = Table::new(5, &["NAME", "B", "C"]);
        table.row(["a".to_owned(), String::new(), "c".to_owned()]);
        table.row(["größer".to_owned(), "bb".to_owned(), String::new()]);
        assert_eq!(
            table.print(),
            "NAME       B      C\na                 c\ngrößer     bb     \n"
        );
    }
}
