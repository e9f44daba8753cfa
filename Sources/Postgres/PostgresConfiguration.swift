// What a client needs to know before it connects. Plain values, no behaviour; it never logs or prints itself
// because the URL may carry a password.

public struct PostgresConfiguration: Sendable {
    /// A libpq connection string: `postgresql://user:password@host1,host2/database?target_session_attrs=read-write`.
    /// Reserved characters in the user, password and socket path are percent-encoded. On a network that drops packets
    /// silently, `tcp_user_timeout` and `keepalives_idle` belong here too.
    public var url: String
    /// Connections of the pool. `listen` opens one more a channel.
    public var poolSize = 8
    /// For each host of the URL. libpq counts whole seconds and takes at least two.
    public var connectTimeout: Duration = .seconds(5)
    /// From the moment a statement is sent; each call may set its own.
    public var queryTimeout: Duration = .seconds(10)
    /// How long a caller waits for a connection, before `.poolExhausted` (or `.unavailable` when there is none at all).
    public var acquireTimeout: Duration = .seconds(5)
    /// Callers that may wait at once; one more gets `.poolExhausted` immediately.
    public var waitingLimit = 4096
    /// Keeps statements prepared on each connection. Turn off behind PgBouncer's transaction mode.
    public var preparedStatements = true
    /// Prepared statements a connection keeps; the least recently used one goes first.
    public var statementCacheSize = 256
    /// Single queries that may share one connection at a time, once every connection of the pool is busy.
    public var pipelineDepth = 16
    /// Seen in `pg_stat_activity`, unless the URL names another.
    public var applicationName = "ringway"

    public init(url: String) {
        self.url = url
    }
}
