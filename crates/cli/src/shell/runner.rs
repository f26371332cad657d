//! Sends a statement, shows what comes back; Ctrl-C cancels it.

use std::io::{self, BufReader, BufWriter, Read, Stdout, Write};
use std::time::{Duration, Instant};

use crate::client::message::{Column, Reply, ServerError};
use crate::client::{Client, ClientError, Status};
use crate::table::{Layout, Table};

use super::{Script, ShellError, connect, report};

/// How much COPY data goes out at once.
const COPY_BYTES: usize = 64 << 10;

/// A connection and how its results are shown.
pub(super) struct Runner {
    client: Client,
    pub(super) layout: Layout,
    pub(super) timing: bool,
    pub(super) interactive: bool,
    /// File and line that errors name.
    pub(super) place: Option<(String, usize)>,
    pub(super) last_sql: String,
    last_error: Option<(ServerError, String)>,
    quiet: bool,
    status: Status,
    catalog_changed: bool,
    out: BufWriter<Stdout>,
}

/// Where COPY … FROM STDIN takes its data from.
pub(super) trait CopySource {
    /// The next piece; empty at the end.
    fn read(&mut self) -> Result<Vec<u8>, String>;
}

/// Data between the lines of a script, up to a line with `\.`.
impl CopySource for Script {
    fn read(&mut self) -> Result<Vec<u8>, String> {
        let mut piece = Vec::new();
        if std::mem::take(&mut self.copy_ended) {
            return Ok(piece);
        }
        while piece.len() < COPY_BYTES {
            match self.next().map_err(|error| error.to_string())? {
                Some(line) if line != "\\." => {
                    piece.extend_from_slice(line.as_bytes());
                    piece.push(b'\n');
                }
                _ => {
                    // The empty piece that ends the data comes with the next call.
                    self.copy_ended = !piece.is_empty();
                    break;
                }
            }
        }
        Ok(piece)
    }
}

/// Bytes of a file or of standard input.
pub(super) struct Bytes(Box<dyn Read>);

impl Bytes {
    pub(super) fn of(source: impl Read + 'static) -> Bytes {
        Bytes(Box::new(source))
    }
}

impl CopySource for Bytes {
    fn read(&mut self) -> Result<Vec<u8>, String> {
        let mut piece = Vec::with_capacity(COPY_BYTES);
        let limited = self
            .0
            .by_ref()
            .take(COPY_BYTES as u64)
            .read_to_end(&mut piece);
        limited.map_err(|error| error.to_string())?;
        Ok(piece)
    }
}

pub(super) fn standard_input() -> Bytes {
    Bytes::of(BufReader::new(io::stdin()))
}

pub(super) fn no_input() -> Bytes {
    Bytes::of(io::empty())
}

impl Runner {
    pub(super) fn new(client: Client, layout: Layout, quiet: bool) -> Runner {
        Runner {
            client,
            layout,
            timing: false,
            interactive: false,
            place: None,
            last_sql: String::new(),
            last_error: None,
            quiet,
            status: Status::Idle,
            catalog_changed: false,
            out: BufWriter::new(io::stdout()),
        }
    }

    /// Runs a text, shows its results; false if a statement failed.
    pub(super) async fn run(
        &mut self,
        sql: &str,
        source: &mut dyn CopySource,
    ) -> Result<bool, ShellError> {
        sql.clone_into(&mut self.last_sql);
        self.run_into(sql, source, None).await
    }

    /// As `run`; COPY … TO STDOUT goes into `sink` instead of standard output.
    pub(super) async fn run_into(
        &mut self,
        sql: &str,
        source: &mut dyn CopySource,
        mut sink: Option<&mut dyn Write>,
    ) -> Result<bool, ShellError> {
        let began = Instant::now();
        self.client.send_query(sql).await?;
        let mut fine = true;
        let mut columns: Vec<Column> = Vec::new();
        let mut rows: Vec<Vec<Option<String>>> = Vec::new();
        let mut copied_out = false;
        loop {
            match self.next().await? {
                Reply::Columns(new) => columns = new,
                Reply::Row(row) => rows.push(row),
                Reply::Complete(tag) => {
                    self.note_change(&tag);
                    if !columns.is_empty() {
                        let table = Table {
                            columns: &columns,
                            rows: &rows,
                            title: None,
                        };
                        table.write(&self.layout, &mut self.out)?;
                        columns.clear();
                        rows.clear();
                    } else if !self.quiet && !self.layout.tuples_only && !copied_out {
                        writeln!(self.out, "{tag}")?;
                    }
                    copied_out = false;
                }
                Reply::CopyIn => self.copy_in(source).await?,
                Reply::CopyOut => copied_out = true,
                Reply::CopyData(data) => match &mut sink {
                    Some(sink) => sink.write_all(&data)?,
                    None => self.out.write_all(&data)?,
                },
                Reply::Error(error) => {
                    fine = false;
                    self.show_error(*error, sql)?;
                }
                Reply::Notice(notice) => {
                    self.out.flush()?;
                    eprintln!("{notice}");
                }
                Reply::Ready(status) => {
                    self.status = status;
                    break;
                }
                _ => {}
            }
        }
        if self.timing {
            writeln!(
                self.out,
                "Time: {:.3} ms",
                began.elapsed().as_secs_f64() * 1e3
            )?;
        }
        self.out.flush()?;
        Ok(fine)
    }

    /// Asks the catalog; errors are shown, and answered with no rows.
    pub(super) async fn ask(
        &mut self,
        sql: &str,
    ) -> Result<Option<Vec<Vec<Option<String>>>>, ShellError> {
        match self.client.query(sql).await {
            Ok(rows) => Ok(Some(rows)),
            Err(ClientError::Refused(error)) => {
                if self.status == Status::Open {
                    self.status = Status::Failed;
                }
                self.show_error(*error, sql)?;
                Ok(None)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The next message; Ctrl-C meanwhile asks the server to stop.
    async fn next(&mut self) -> Result<Reply, ClientError> {
        let key = self.client.cancel_key();
        loop {
            tokio::select! {
                reply = self.client.next() => return reply,
                signal = tokio::signal::ctrl_c() => {
                    if signal.is_ok() {
                        eprintln!("cancel request sent");
                        key.cancel().await?;
                    }
                }
            }
        }
    }

    async fn copy_in(&mut self, source: &mut dyn CopySource) -> Result<(), ShellError> {
        if self.interactive {
            eprintln!("Enter data, one row per line; end with a line of \\. or Ctrl-D.");
        }
        loop {
            match source.read() {
                Ok(piece) if piece.is_empty() => return Ok(self.client.end_copy(None).await?),
                Ok(piece) => self.client.send_copy_data(&piece).await?,
                Err(error) => return Ok(self.client.end_copy(Some(&error)).await?),
            }
        }
    }

    fn show_error(&mut self, error: ServerError, sql: &str) -> Result<(), ShellError> {
        self.out.flush()?;
        eprintln!("{}", report::statement(&error, sql, self.place.as_ref()));
        self.last_error = Some((error, sql.to_owned()));
        Ok(())
    }

    pub(super) fn show_last_error(&mut self) {
        match &self.last_error {
            Some((error, sql)) => eprintln!("{}", report::verbose(error, sql)),
            None => eprintln!("There is no previous error."),
        }
    }

    fn note_change(&mut self, tag: &str) {
        self.catalog_changed |= ["CREATE", "ALTER", "DROP", "ROLLBACK"]
            .iter()
            .any(|verb| tag.starts_with(verb));
    }

    pub(super) fn take_catalog_changed(&mut self) -> bool {
        // In a failed transaction the catalog cannot be asked.
        self.status != Status::Failed && std::mem::take(&mut self.catalog_changed)
    }

    /// Names of tables and columns, for completion.
    pub(super) async fn catalog_names(&mut self) -> Result<Vec<String>, ShellError> {
        let sql = "SELECT table_name, column_name FROM information_schema.columns \
                   WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";
        match self.client.query(sql).await {
            Ok(rows) => {
                let mut names: Vec<String> = rows.into_iter().flatten().flatten().collect();
                names.sort();
                names.dedup();
                Ok(names)
            }
            // Completion is a comfort: without the right to look there is none.
            Err(ClientError::Refused(_)) => Ok(Vec::new()),
            Err(other) => Err(other.into()),
        }
    }

    pub(super) fn write_table(&mut self, table: &Table<'_>, layout: &Layout) -> io::Result<()> {
        table.write(layout, &mut self.out)
    }

    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    pub(super) fn greet(&mut self) -> io::Result<()> {
        let server = self
            .client
            .parameter("server_version")
            .unwrap_or("?")
            .to_owned();
        let version = env!("CARGO_PKG_VERSION");
        self.say(&format!("tessera sql {version} (server {server})"))?;
        self.say("Type \\? for help, \\q to leave.\n")
    }

    pub(super) fn connection_info(&self) -> String {
        let target = self.client.target();
        let kind = if self.client.encrypted() {
            "encrypted"
        } else {
            "plain"
        };
        format!(
            "You are connected to database \"{}\" as user \"{}\" on host \"{}\" at port {} ({kind}).",
            target.database, target.user, target.host, target.port
        )
    }

    /// psql's: database, transaction state, who one is.
    pub(super) fn prompt(&self) -> String {
        let state = match self.status {
            Status::Idle => "",
            Status::Open => "*",
            Status::Failed => "!",
        };
        let admin = self.client.parameter("is_superuser") == Some("on");
        let sign = if admin { '#' } else { '>' };
        format!("{}={state}{sign} ", self.client.target().database)
    }

    /// Waits, unless Ctrl-C comes first: then false.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            _ = tokio::signal::ctrl_c() => false,
        }
    }

    pub(super) async fn reconnect(&mut self) -> Result<(), ShellError> {
        self.client = connect(self.client.target().clone()).await?;
        self.status = Status::Idle;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(super) async fn close(self) {
        self.client.close().await;
    }
}
