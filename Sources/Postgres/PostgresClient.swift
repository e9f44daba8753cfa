// The client: a pool of connections behind one loop thread. Everything here runs in the caller's task; it makes a
// ticket, posts it to the loop and waits for the answer.
import EventLoop
import Logging

/// Connects when first asked to, and again whenever connections are lost. Shut it down when done; a client that is
/// dropped closes its connections too, without waiting.
public final class PostgresClient: Sendable {
    private let configuration: PostgresConfiguration
    private let mailbox = PostgresMailbox()

    public init(configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        let mailbox = mailbox
        let started = Threads.detach { Pool(configuration, logger, mailbox).run() }
        precondition(started, "no thread left for a Postgres client")
    }

    deinit {
        mailbox.post(.shutdown(nil))
    }

    /// New work is refused at once; what is under way has five seconds. Returns when the last connection is closed.
    public func shutdown() async {
        await withCheckedContinuation { reply in
            if !mailbox.post(.shutdown(reply)) { reply.resume() }
        }
    }

    /// Runs one statement on any connection. It is a transaction of its own.
    ///
    /// - Parameter timeout: from the moment it is sent, instead of the configuration's `queryTimeout`. The wait for a
    ///   connection is no longer than that either.
    @discardableResult
    public func query(
        _ query: PostgresQuery, timeout: Duration? = nil
    ) async throws(PostgresError) -> PostgresRows {
        if let defect = query.defect { throw defect }
        let ticket = Ticket(.queries([query]), timeout: timeout ?? configuration.queryTimeout)
        return try await mailbox.answer(to: ticket, on: nil).only
    }

    /// Runs some statements on any connection, sends them at once and waits once. All or nothing, as one transaction;
    /// each sees what was committed before it began. The answers are in the order of the queries.
    public func pipeline(
        _ queries: [PostgresQuery], timeout: Duration? = nil
    ) async throws(PostgresError) -> [PostgresRows] {
        if queries.isEmpty { return [] }
        for query in queries {
            if let defect = query.defect { throw defect }
        }
        let ticket = Ticket(.queries(queries), timeout: timeout ?? configuration.queryTimeout)
        return try await mailbox.answer(to: ticket, on: nil)
    }

    /// Lends a connection to `body` alone. Leave its session as you found it; an open transaction is rolled back.
    /// The connection must not be used after `body` has returned: its calls fail then.
    public func withConnection<Result: Sendable>(
        _ body: @Sendable (PostgresConnection) async throws -> Result
    ) async throws -> Result {
        try await withLease(opening: nil, body)
    }

    /// Runs `body` between BEGIN and COMMIT on one connection; any error rolls back, and a statement that timed out or
    /// was cancelled dooms the whole transaction.
    ///
    /// - Parameter retryingConflicts: how often to run `body` again, from its start, after a serialization failure or
    ///   a deadlock (everything was rolled back then). Pass 0 if it has effects outside of the database.
    /// - Throws: what `body` threw, or a `PostgresError`. An `.unavailable` or `.timeout` from COMMIT leaves open
    ///   whether the transaction took effect.
    public func transaction<Result: Sendable>(
        isolation: PostgresIsolation = .readCommitted, retryingConflicts: Int = 3,
        _ body: @Sendable (PostgresConnection) async throws -> Result
    ) async throws -> Result {
        var retries = 0
        while true {
            do {
                return try await withLease(opening: isolation.opening) { connection in
                    let result = try await body(connection)
                    try await connection.commit()
                    return result
                }
            } catch let error as PostgresError where error.isConflict && retries < retryingConflicts {
                retries += 1
                // Those who collided should not meet again at once.
                try? await Task.sleep(for: .milliseconds(Int.random(in: 1...(5 << min(retries, 5)))))
                if Task.isCancelled { throw PostgresError.cancelled }
            }
        }
    }

    /// Notifications of a channel, on a connection of their own that comes back by itself. The stream ends with the
    /// client; the listener ends when nobody iterates the stream any more.
    public func listen(_ channel: String) -> AsyncStream<PostgresNotification> {
        let (stream, events) = AsyncStream.makeStream(
            of: PostgresNotification.self, bufferingPolicy: .bufferingNewest(Listener.backlog))
        let id = ListenerID(number: mailbox.nextNumber())
        let mailbox = mailbox
        events.onTermination = { _ in mailbox.post(.unlisten(id)) }
        if !mailbox.post(.listen(id, channel: channel, events)) { events.finish() }
        return stream
    }

    private func withLease<Result: Sendable>(
        opening: StaticString?, _ body: @Sendable (PostgresConnection) async throws -> Result
    ) async throws -> Result {
        let lease = try await mailbox.lease(Ticket(.lease(opening: opening), timeout: nil))
        let connection = PostgresConnection(lease, mailbox, configuration)
        defer { mailbox.post(.release(lease, close: connection.mustClose)) }
        return try await body(connection)
    }
}

/// How much a transaction sees of the others.
public enum PostgresIsolation: Sendable {
    case readCommitted, repeatableRead, serializable

    var opening: StaticString {
        switch self {
        case .readCommitted: "BEGIN"
        case .repeatableRead: "BEGIN ISOLATION LEVEL REPEATABLE READ"
        case .serializable: "BEGIN ISOLATION LEVEL SERIALIZABLE"
        }
    }
}
