// A connection lent to one caller, by `withConnection` or `transaction`. A handle: the connection itself stays with the
// loop, and a handle that outlives its block can do no harm.
import EventLoop
import Synchronization

public final class PostgresConnection: Sendable {
    private let lease: Lease
    private let mailbox: PostgresMailbox
    private let configuration: PostgresConfiguration
    private let isSpoilt = Atomic(false)

    init(_ lease: Lease, _ mailbox: PostgresMailbox, _ configuration: PostgresConfiguration) {
        self.lease = lease
        self.mailbox = mailbox
        self.configuration = configuration
    }

    /// Runs one statement. Several tasks may do so at a time: their statements go out in the order they arrive.
    @discardableResult
    public func query(
        _ query: PostgresQuery, timeout: Duration? = nil
    ) async throws(PostgresError) -> PostgresRows {
        try await run([query], timeout: timeout).only
    }

    /// Sends all statements at once and waits once. All or nothing: after an error the rest is skipped, and outside of
    /// a transaction what came before it is rolled back. The answers are in the order of the queries.
    public func pipeline(
        _ queries: [PostgresQuery], timeout: Duration? = nil
    ) async throws(PostgresError) -> [PostgresRows] {
        if queries.isEmpty { return [] }
        return try await run(queries, timeout: timeout)
    }

    /// Runs a text of several statements, without parameters and without rows, for migrations. It has no deadline of
    /// its own: cancel the task to stop it.
    public func execute(script: String) async throws(PostgresError) {
        if script.utf8.contains(0) {
            throw PostgresError(.invalidParameter, reason: "the script holds a NUL character")
        }
        _ = try await mailbox.answer(to: Ticket(.script(script), timeout: nil), on: lease)
    }

    /// COMMIT goes through even if the task is cancelled meanwhile: half-way there is no better place to be.
    func commit() async throws(PostgresError) {
        let ticket = Ticket(.commit, timeout: configuration.queryTimeout)
        // No answer when nothing was sent. A failed transaction answers with ROLLBACK: `body` has swallowed an error.
        if let answer = try await mailbox.uncancellableAnswer(to: ticket, on: lease).first,
            answer.storage.commandTag != "COMMIT"
        {
            throw PostgresError(.server, reason: "rolled back: a statement had failed before", sqlState: "25P02")
        }
    }

    /// The session is not as it was found (a lock, a setting): the connection will be closed, not lent again.
    func spoil() {
        isSpoilt.store(true, ordering: .relaxed)
    }

    var mustClose: Bool { isSpoilt.load(ordering: .relaxed) }

    private func run(_ queries: [PostgresQuery], timeout: Duration?) async throws(PostgresError) -> [PostgresRows] {
        for query in queries {
            if let defect = query.defect { throw defect }
        }
        let ticket = Ticket(.queries(queries), timeout: timeout ?? configuration.queryTimeout)
        return try await mailbox.answer(to: ticket, on: lease)
    }
}

extension [PostgresRows] {
    /// The answer to the one statement of a ticket.
    var only: PostgresRows {
        precondition(count == 1, "one statement has one answer")
        return self[0]
    }
}

// MARK: The caller's side of the mailbox

extension PostgresMailbox {
    /// Posts a ticket and waits for its answer; cancelling the task cancels the ticket.
    func answer(to ticket: Ticket, on lease: Lease?) async throws(PostgresError) -> [PostgresRows] {
        if Task.isCancelled { throw .cancelled }
        let result = await withTaskCancellationHandler {
            await reply(to: ticket, on: lease)
        } onCancel: {
            cancel(ticket)
        }
        return try result.get()
    }

    func uncancellableAnswer(to ticket: Ticket, on lease: Lease?) async throws(PostgresError) -> [PostgresRows] {
        try await reply(to: ticket, on: lease).get()
    }

    func lease(_ ticket: Ticket) async throws(PostgresError) -> Lease {
        if Task.isCancelled { throw .cancelled }
        let result: Result<Lease, PostgresError> = await withTaskCancellationHandler {
            await withCheckedContinuation { reply in
                if !post(.acquire(ticket, reply)) { reply.resume(returning: .failure(.shutDown)) }
            }
        } onCancel: {
            cancel(ticket)
        }
        return try result.get()
    }

    private func reply(to ticket: Ticket, on lease: Lease?) async -> Result<[PostgresRows], PostgresError> {
        await withCheckedContinuation { reply in
            if !post(.submit(ticket, reply, on: lease)) { reply.resume(returning: .failure(.shutDown)) }
        }
    }

    private func cancel(_ ticket: Ticket) {
        ticket.isCancelled.store(true, ordering: .releasing)
        post(.cancel(ticket))
    }
}
