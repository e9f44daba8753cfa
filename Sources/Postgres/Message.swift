// What the rest of the program may tell a client's loop, and the loop's own threads may answer it.
import EventLoop

/// What a loop can be told. Everything in it is Sendable; replies go through the continuations.
enum Message: Sendable {
    /// Run a ticket on any connection, or on the one that a lease holds.
    case submit(Ticket, Reply, on: Lease?)
    /// The ticket's task was cancelled.
    case cancel(Ticket)
    /// Wait for a connection of one's own.
    case acquire(Ticket, LeaseReply)
    /// A lease is over. A connection that must not be used again is closed instead.
    case release(Lease, close: Bool)
    /// A connector thread is done.
    case opened(Connector.Purpose, Result<OpenedConnection, PostgresError>)
    /// A cancel request reached the server, or could not.
    case cancelDelivered(LinkID)
    case listen(ListenerID, channel: String, AsyncStream<PostgresNotification>.Continuation)
    case unlisten(ListenerID)
    case shutdown(CheckedContinuation<Void, Never>?)
}

typealias PostgresMailbox = Mailbox<Message>
typealias Reply = CheckedContinuation<Result<[PostgresRows], PostgresError>, Never>
typealias LeaseReply = CheckedContinuation<Result<Lease, PostgresError>, Never>

/// Numbers, never used twice in a client's life.
struct LinkID: Hashable, Sendable { let number: UInt64 }
struct ListenerID: Hashable, Sendable { let number: UInt64 }

/// The right to one connection, until it is released. `serial` tells it from earlier leases of the same connection.
struct Lease: Hashable, Sendable {
    let link: LinkID
    let serial: UInt64
}
