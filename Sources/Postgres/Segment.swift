// A unit of work on the wire: what lies between two Syncs. Postgres runs it as one implicit transaction, so it takes
// effect whole or not at all. The ticket is what the caller made and shares; the segment is the loop's own account.
import CPostgres
import Synchronization

/// What a caller asks for. Shared by its task and the loop; nothing in it changes but the flag.
final class Ticket: Sendable {
    enum Work: Sendable {
        case queries([PostgresQuery])
        case script(String)
        /// COMMIT, unless nothing was sent since the lease began: then there is no transaction to end.
        case commit
        /// A connection for itself; `opening` goes out with its first statement.
        case lease(opening: StaticString?)
    }

    let work: Work
    /// Nil: no bound of its own.
    let timeout: Duration?
    /// Set before `.cancel` is posted, so that a ticket whose cancellation overtakes it is still seen as cancelled.
    let isCancelled = Atomic(false)

    init(_ work: Work, timeout: Duration?) {
        self.work = work
        self.timeout = timeout
    }
}

/// Loop only.
final class Segment {
    /// Whose it is, hence what its end means.
    enum Purpose {
        case caller
        case setup
        case rollback
        case deallocate
        case listen
        case probe
    }

    /// One command of the segment, in the order of its answers.
    enum Step {
        /// Its answer interests nobody unless it is an error.
        case silent
        case prepare(StatementCache.Key)
        case statement(StatementCache.Key?)
    }

    let ticket: Ticket
    let purpose: Purpose
    private var reply: Reply?
    var deadline: ContinuousClock.Instant?
    /// When it was sent, or when those before it were done: since then the server works on it.
    var startedAt: ContinuousClock.Instant?
    /// Every statement of it is known to be quick.
    var isQuick = false
    var steps: [Step] = []
    private(set) var position = 0
    private(set) var rows: [PostgresRows] = []
    private(set) var failure: PostgresError?
    /// Sent a second time already; there is no third.
    private(set) var isRepeated = false

    init(_ ticket: Ticket, reply: Reply) {
        self.ticket = ticket
        self.reply = reply
        purpose = .caller
    }

    init(_ purpose: Purpose, _ query: PostgresQuery) {
        ticket = Ticket(.queries([query]), timeout: nil)
        self.purpose = purpose
    }

    /// Its caller has had an answer (a timeout, a cancellation); the server still works on it.
    var isAbandoned: Bool { purpose == .caller && reply == nil }

    var isScript: Bool {
        if case .script = ticket.work { true } else { false }
    }

    var currentStep: Step? { position < steps.count ? steps[position] : nil }

    func stepEnded() {
        position += 1
    }

    func accept(_ answer: PostgresRows) {
        rows.append(answer)
    }

    func fail(_ error: PostgresError) {
        if failure == nil { failure = error }
    }

    func answer(_ result: Result<[PostgresRows], PostgresError>) {
        reply?.resume(returning: result)
        reply = nil
    }

    /// The same work as new, for a segment that was rolled back through no fault of its own.
    func repeated() -> Segment {
        guard let reply else { preconditionFailure("an answered segment can't be repeated") }
        self.reply = nil
        let again = Segment(ticket, reply: reply)
        again.isRepeated = true
        return again
    }
}
