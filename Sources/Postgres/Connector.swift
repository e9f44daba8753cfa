// What libpq can only do by blocking: looking up hosts and logging in, one host after the other, each with its own
// timeout; and sending a cancel request. Each runs on a thread of its own and ends with a message to the loop.
//
// (PQconnectPoll would not do: it resolves names on the calling thread, and it leaves the timeout of each host to the
// caller without a way to go on to the next one, which is the very case of a failover.)
import CPostgres
import EventLoop
import Glibc

enum Connector {
    enum Purpose: Sendable {
        case pool
        case listener(ListenerID)
    }

    /// Answers with `.opened`, always.
    static func open(_ purpose: Purpose, _ configuration: PostgresConfiguration, answerTo mailbox: PostgresMailbox) {
        let started = Threads.detach {
            mailbox.post(.opened(purpose, connect(configuration)))
        }
        if !started {
            let error = PostgresError(.unavailable, reason: "no thread left to connect with")
            mailbox.post(.opened(purpose, .failure(error)))
        }
    }

    /// Asks the server to give up what the connection runs now; answers with `.cancelDelivered` once the server has
    /// passed the request on (or nobody is there to take it). Call on the loop.
    static func cancel(_ connection: OpaquePointer, link: LinkID, answerTo mailbox: PostgresMailbox) {
        guard let request = PQgetCancel(connection) else { return }
        let handed = CancelRequest(request)
        // Without an answer the link's own deadline closes it, so a failure needs no path of its own.
        _ = Threads.detach {
            handed.send()
            mailbox.post(.cancelDelivered(link))
        }
    }

    /// Why the URL can't be used, or nil. libpq's own text about a bad URL may quote the password: it isn't used.
    static func defect(of url: String) -> PostgresError? {
        guard let options = PQconninfoParse(url, nil) else {
            return PostgresError(.invalidParameter, reason: "the connection URL can't be parsed")
        }
        PQconninfoFree(options)
        if url.hasPrefix("postgres://") || url.hasPrefix("postgresql://") {
            // Behind an unescaped "@" the rest of a password would pass for a host, and be told to everyone.
            let authority = url.drop { $0 != "/" }.drop { $0 == "/" }.prefix { $0 != "/" && $0 != "?" }
            if authority.filter({ $0 == "@" }).count > 1 {
                return PostgresError(.invalidParameter, reason: "an '@' in the URL's password must be written %40")
            }
        }
        return nil
    }

    private static func connect(_ configuration: PostgresConfiguration) -> Result<OpenedConnection, PostgresError> {
        if let defect = defect(of: configuration.url) { return .failure(defect) }
        // libpq lets a later setting override an earlier one: the URL may set the first two, but not the encoding.
        let timeout = max(2, configuration.connectTimeout.components.seconds)
        let settings = [
            ("connect_timeout", String(timeout)), ("fallback_application_name", configuration.applicationName),
            ("dbname", configuration.url), ("client_encoding", "UTF8"),
        ]
        guard let connection = connect(settings) else {
            return .failure(PostgresError(.unavailable, reason: "out of memory"))
        }
        let opened = OpenedConnection(owning: connection)
        guard PQstatus(connection) == CONNECTION_OK else {
            let words = String(cString: PQerrorMessage(connection)).split(separator: "\n").joined(separator: "; ")
            return .failure(PostgresError(.unavailable, reason: words))
        }
        PQsetNoticeReceiver(connection, { _, _ in }, nil)
        guard PQsetnonblocking(connection, 1) == 0, PQenterPipelineMode(connection) == 1 else {
            return .failure(PostgresError(.unavailable, reason: "the connection can't be used without blocking"))
        }
        return .success(opened)
    }

    private static func connect(_ settings: [(key: String, value: String)]) -> OpaquePointer? {
        let keys = settings.map { strdup($0.key) }
        let values = settings.map { strdup($0.value) }
        defer { (keys + values).forEach { free($0) } }
        return PQconnectdbParams(
            keys.map { UnsafePointer($0) } + [nil], values.map { UnsafePointer($0) } + [nil], 1)
    }
}

/// A connection on its way from the thread that opened it to the loop; closed if it never arrives.
///
/// Unchecked, because a PGconn may be used by one thread at a time and this is handed over, not shared: the opener
/// posts it as its last act, and the loop takes it out.
final class OpenedConnection: @unchecked Sendable {
    private var connection: OpaquePointer?

    init(owning connection: OpaquePointer) {
        self.connection = connection
    }

    deinit {
        if let connection { PQfinish(connection) }
    }

    /// Once. The caller closes it from now on.
    func take() -> OpaquePointer {
        guard let connection else { preconditionFailure("a connection can be taken once") }
        self.connection = nil
        return connection
    }
}

/// A PGcancel on its way to its thread. Unchecked for the same reason; libpq documents PQcancel as thread-safe.
private final class CancelRequest: @unchecked Sendable {
    private let request: OpaquePointer

    init(_ request: OpaquePointer) {
        self.request = request
    }

    deinit {
        PQfreeCancel(request)
    }

    func send() {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { words in
            _ = PQcancel(request, words.baseAddress, Int32(words.count))
        }
    }
}
