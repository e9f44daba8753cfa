// How the rest of the program talks to a client's loop thread: messages under a lock, an eventfd to wake the loop.
// Any thread posts; only the loop takes. The loop owns everything else of this module, so this lock is the only one.
import CPostgres
import Glibc
import Synchronization

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

final class Mailbox: Sendable {
    private struct State {
        var messages: [Message] = []
        var loopSleeps = false
        var isClosed = false
    }

    private let state = Mutex(State())
    private let counter = Atomic<UInt64>(0)
    /// Readable when the loop should look into the mailbox.
    let wakeDescriptor: Int32

    init() {
        wakeDescriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        precondition(wakeDescriptor >= 0, "eventfd: the process is out of file descriptors")
    }

    deinit {
        close(wakeDescriptor)
    }

    func nextNumber() -> UInt64 {
        counter.add(1, ordering: .relaxed).newValue
    }

    /// False when the loop has ended: the message will never be read, and its sender has to answer for itself.
    @discardableResult
    func post(_ message: Message) -> Bool {
        let (accepted, mustWake) = state.withLock { state in
            if state.isClosed { return (false, false) }
            state.messages.append(message)
            // The first to find it asleep wakes it; while it runs, no system call is needed.
            defer { state.loopSleeps = false }
            return (true, state.loopSleeps)
        }
        if mustWake { eventfd_write(wakeDescriptor, 1) }
        return accepted
    }

    /// Loop only: all messages since the last call. With none, the next post will wake the loop.
    func take(into batch: inout [Message]) {
        state.withLock { state in
            swap(&batch, &state.messages)
            state.loopSleeps = batch.isEmpty
        }
    }

    /// Loop only: after epoll said that the descriptor is readable.
    func acknowledgeWake() {
        var count: eventfd_t = 0
        eventfd_read(wakeDescriptor, &count)
    }

    /// Loop only, at its end: what came too late.
    func finish() -> [Message] {
        state.withLock { state in
            state.isClosed = true
            defer { state.messages = [] }
            return state.messages
        }
    }
}
