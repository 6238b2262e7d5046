//! What differs between SQLite and PostgreSQL, and nothing else: how a connection is opened and tuned, how the one
//! writer begins, and how other servers on the same database are woken.

use sekisho_arm::StoreError;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Transaction};

use crate::rows::failed;

/// The advisory lock of whoever writes; any number that nothing else in the database uses. ("sekisho" in ASCII.)
const WRITER_LOCK: i64 = 0x0073_656b_6973_686f;
/// The channel on which servers tell each other that there is something new in the feed.
pub(crate) const CHANNEL: &str = "sekisho_change";

/// The two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A database and how to reach it. It has no `Debug`: the URL may hold a password.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) engine: Engine,
    pub(crate) url: String,
}

impl Database {
    /// Takes a URL apart: `sqlite:///path` or `postgres://user@host/database`.
    pub(crate) fn parse(url: &str) -> Result<Database, StoreError> {
        sqlx::any::install_default_drivers();
        let engine = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Engine::Sqlite,
            Some("postgres" | "postgresql") => Engine::Postgres,
            _ => {
                return Err(StoreError::Unavailable(
                    "a database URL begins with sqlite:// or postgres://".to_owned(),
                ));
            }
        };
        Ok(Database { engine, url: url.to_owned() })
    }

    /// Opens a connection that may write.
    pub(crate) async fn connect(&self) -> Result<AnyConnection, StoreError> {
        let url = match self.engine {
            Engine::Sqlite => {
                format!("{}{}mode=rwc", self.url, if self.url.contains('?') { '&' } else { '?' })
            }
            Engine::Postgres => self.url.clone(),
        };
        let mut connection = AnyConnection::connect(&url).await.map_err(failed)?;
        self.tune(&mut connection).await.map_err(failed)?;
        Ok(connection)
    }

    /// Connections for readers; they are opened when they are first needed.
    pub(crate) fn readers(&self) -> Result<AnyPool, StoreError> {
        let options: AnyConnectOptions = self.url.parse().map_err(failed)?;
        let tuned = self.clone();
        let pool = AnyPoolOptions::new()
            .max_connections(match self.engine {
                Engine::Sqlite => 4,
                Engine::Postgres => 8,
            })
            .acquire_timeout(std::time::Duration::from_secs(10))
            .after_connect(move |connection, _| {
                let tuned = tuned.clone();
                Box::pin(async move { tuned.tune(connection).await })
            });
        Ok(pool.connect_lazy_with(options))
    }

    /// An answered write survives a power cut on both: WAL with `FULL`, and `synchronous_commit` whatever the
    /// cluster's default is. In WAL mode readers never wait for the writer.
    async fn tune(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let statements: &[&'static str] = match self.engine {
            Engine::Sqlite => {
                &["PRAGMA busy_timeout = 5000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"]
            }
            Engine::Postgres => &[
                "SET synchronous_commit = on",
                "SET application_name = 'sekisho'",
                // A server that hangs with an open transaction must not keep the others from writing for ever.
                "SET idle_in_transaction_session_timeout = '60s'",
            ],
        };
        for statement in statements {
            sqlx::query(*statement).fetch_optional(&mut *connection).await?;
        }
        Ok(())
    }

    /// Asks for the size of the database in bytes.
    pub(crate) fn size_query(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => {
                "SELECT CAST(page_count * page_size AS BIGINT) AS bytes FROM pragma_page_count(), pragma_page_size()"
            }
            Engine::Postgres => "SELECT pg_database_size(current_database()) AS bytes",
        }
    }

    /// Asks for the time by the database's clock, in milliseconds since 1970.
    pub(crate) fn clock_query(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "SELECT CAST(unixepoch('subsec') * 1000 AS BIGINT) AS now_ms",
            Engine::Postgres => {
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms"
            }
        }
    }

    /// Begins the writer's transaction: from here to its end nobody else writes.
    pub(crate) async fn begin_write(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let statements: &[&'static str] = match self.engine {
            Engine::Sqlite => &["BEGIN IMMEDIATE"],
            Engine::Postgres => &["BEGIN"],
        };
        for statement in statements {
            sqlx::query(*statement).execute(&mut *connection).await.map_err(failed)?;
        }
        if self.engine == Engine::Postgres {
            sqlx::query("SELECT 1 FROM pg_advisory_xact_lock($1)")
                .bind(WRITER_LOCK)
                .fetch_optional(connection)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Tells other servers, when the transaction commits, that the feed has grown.
    pub(crate) async fn wake_others(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        if self.engine == Engine::Postgres {
            sqlx::query("SELECT 1 FROM pg_notify($1, '')")
                .bind(CHANNEL)
                .fetch_optional(connection)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Begins a reader's transaction, which sees one state until it ends.
    pub(crate) async fn begin_read(&self, pool: &AnyPool) -> Result<Transaction<'static, Any>, StoreError> {
        let begun = match self.engine {
            Engine::Sqlite => pool.begin().await,
            Engine::Postgres => pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await,
        };
        begun.map_err(failed)
    }

    /// The type of a key column: compared byte by byte, as the intervals of scopes and the pages of lists need it.
    pub(crate) fn key_type(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "TEXT",
            Engine::Postgres => "TEXT COLLATE \"C\"",
        }
    }
}
