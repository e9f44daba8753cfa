// The loop of one client: a thread, an epoll, and all of the client's connections. Created on its thread and never
// leaving it, so nothing here needs a lock; the mailbox is the only way in.
//
// This file: the turn of the loop, what a message does, and who gets which connection. Pool+Links.swift: what happens
// to a connection. Pool+Deadlines.swift: what happens when time passes. Pool+Listeners.swift: LISTEN.
import CPostgres
import EventLoop
import Logging

final class Pool: Loop {
    /// Someone who waits for a connection, in the order of arrival.
    enum Waiter {
        case single(Segment)
        case lease(Ticket, LeaseReply, opening: StaticString?)

        var ticket: Ticket {
            switch self {
            case .single(let segment): segment.ticket
            case .lease(let ticket, _, _): ticket
            }
        }

        func fail(_ error: PostgresError) {
            switch self {
            case .single(let segment): segment.answer(.failure(error))
            case .lease(_, let reply, _): reply.resume(returning: .failure(error))
            }
        }
    }

    let configuration: PostgresConfiguration
    let logger: Logger
    let mailbox: PostgresMailbox
    let poller = Poller()
    var now = Instant.now
    var nextSweep: Instant = .now + .seconds(3600)

    /// The connections of the pool; listeners keep their own.
    var links: [Link] = []
    var listeners: [ListenerID: Listener] = [:]
    var waiters = Fifo<(waiter: Waiter, deadline: Instant)>()
    /// Connector threads under way for the pool.
    var connecting = 0
    /// Attempts that failed since one succeeded, and when the next may start.
    var failures = 0
    var nextAttempt: Instant = .now
    private var shutdownReplies: [CheckedContinuation<Void, Never>] = []
    var shutdownDeadline: Instant?

    init(_ configuration: PostgresConfiguration, _ logger: Logger, _ mailbox: PostgresMailbox) {
        self.configuration = configuration
        self.logger = logger
        self.mailbox = mailbox
    }

    /// The thread's body. Returns after a shutdown, when the last connection is closed.
    func run() {
        takeTurns()
        for message in mailbox.finish() { refuse(message) }
        for reply in shutdownReplies { reply.resume() }
    }

    var isOver: Bool { shutdownDeadline != nil && links.isEmpty }

    // MARK: Messages

    func handle(_ message: Message) {
        switch message {
        case .submit(let ticket, let reply, on: nil):
            enqueue(.single(Segment(ticket, reply: reply)))
        case .submit(let ticket, let reply, on: let lease?):
            submit(Segment(ticket, reply: reply), on: lease)
        case .acquire(let ticket, let reply):
            guard case .lease(let opening) = ticket.work else { preconditionFailure("only a lease is acquired") }
            enqueue(.lease(ticket, reply, opening: opening))
        case .cancel(let ticket):
            cancel(ticket)
        case .release(let lease, close: let close):
            release(lease, close: close)
        case .opened(.pool, let result):
            poolOpened(result)
        case .opened(.listener(let id), let result):
            listenerOpened(id, result)
        case .cancelDelivered(let id):
            if let link = link(id) {
                link.cancelDelivered()
                settle(link)
            }
        case .listen(let id, let channel, let events):
            startListener(Listener(id, channel: channel, events: events))
        case .unlisten(let id):
            stopListener(id)
        case .shutdown(let reply):
            beginShutdown(reply)
        }
    }

    /// Answers a message that came after the end.
    private func refuse(_ message: Message) {
        switch message {
        case .submit(_, let reply, on: _): reply.resume(returning: .failure(.shutDown))
        case .acquire(_, let reply): reply.resume(returning: .failure(.shutDown))
        case .listen(_, _, let events): events.finish()
        case .shutdown(let reply): reply?.resume()
        case .cancel, .release, .opened, .cancelDelivered, .unlisten: break
        }
    }

    func handleReady(_ token: UInt64) {
        if let link = link(LinkID(number: token)) { receive(link) }
    }

    private func enqueue(_ waiter: Waiter) {
        if waiter.ticket.isCancelled.load(ordering: .acquiring) {
            waiter.fail(.cancelled)
        } else if shutdownDeadline != nil {
            waiter.fail(.shutDown)
        } else if waiters.count >= configuration.waitingLimit {
            waiter.fail(PostgresError(.poolExhausted, reason: "\(waiters.count) callers wait for a connection already"))
        } else {
            let patience = min(configuration.acquireTimeout, waiter.ticket.timeout ?? configuration.acquireTimeout)
            waiters.append((waiter, now + patience))
            nextSweep = min(nextSweep, now + patience)
        }
    }

    private func submit(_ segment: Segment, on lease: Lease) {
        guard let link = link(holding: lease) else {
            let reason = "the connection was lost, or is used after its block has ended"
            return segment.answer(.failure(PostgresError(.unavailable, reason: reason)))
        }
        if segment.ticket.isCancelled.load(ordering: .acquiring) { return segment.answer(.failure(.cancelled)) }
        if let doom = link.doom { return segment.answer(.failure(doom)) }
        if case .commit = segment.ticket.work, link.opening != nil {
            // Nothing was sent since the lease began: there is no transaction to end.
            link.opening = nil
            return segment.answer(.success([]))
        }
        submit(segment, on: link)
    }

    private func release(_ lease: Lease, close: Bool) {
        guard let link = link(holding: lease) else { return }
        if close { return drop(link, because: "its user asked for it") }
        link.opening = nil
        link.role = .returning
        settle(link)
    }

    private func cancel(_ ticket: Ticket) {
        waiters.removeAll { entry in
            guard entry.waiter.ticket === ticket else { return false }
            entry.waiter.fail(.cancelled)
            return true
        }
        for link in links {
            for segment in Array(link.inFlight) + Array(link.held) where segment.ticket === ticket {
                giveUp(segment, on: link, .cancelled)
            }
        }
    }

    private func beginShutdown(_ reply: CheckedContinuation<Void, Never>?) {
        if let reply { shutdownReplies.append(reply) }
        guard shutdownDeadline == nil else { return }
        // Leases and queries under way may finish; whoever only waits is told at once.
        let deadline = now + .seconds(5)
        shutdownDeadline = deadline
        nextSweep = min(nextSweep, deadline)
        failWaiters(.shutDown)
        for id in Array(listeners.keys) { stopListener(id) }
        for link in links { settle(link) }
    }

    // MARK: Who gets which connection

    func finishTurn() { dispatch() }

    /// Strictly in order of arrival: while the first waiter can't be served, nobody passes.
    private func dispatch() {
        while let (waiter, _) = waiters.first {
            switch waiter {
            case .single(let segment):
                guard let link = linkForSingle() else { return openMore() }
                _ = waiters.popFirst()
                submit(segment, on: link)
            case .lease(_, let reply, let opening):
                guard let link = links.first(where: { $0.isAvailable && $0.isQuiet }) else { return openMore() }
                _ = waiters.popFirst()
                let lease = Lease(link: link.id, serial: mailbox.nextNumber())
                link.role = .leased(serial: lease.serial, isTransaction: opening != nil)
                link.opening = opening
                reply.resume(returning: .success(lease))
            }
        }
    }

    /// An idle connection, or, once the pool has all the connections it may have, the least busy of those that are
    /// worth sharing.
    private func linkForSingle() -> Link? {
        var best: Link?
        for link in links where link.isAvailable {
            if link.load == 0 { return link }
            if link.load < best?.load ?? configuration.pipelineDepth, link.isWorthSharing(now: now) { best = link }
        }
        let mayGrow = failures == 0 && links.count < configuration.poolSize
        return mayGrow ? nil : best
    }

    /// Starts the connections that the waiters need. After a failure one at a time, and not before its time.
    private func openMore() {
        if failures > 0, now < nextAttempt {
            nextSweep = min(nextSweep, nextAttempt)
            return
        }
        let limit = failures > 0 ? 1 : waiters.count
        while connecting < limit, links.count + connecting < configuration.poolSize {
            connecting += 1
            Connector.open(.pool, configuration, answerTo: mailbox)
        }
    }

    func failWaiters(_ error: PostgresError) {
        for (waiter, _) in waiters.removeAll() { waiter.fail(error) }
    }
}

extension PostgresError {
    static let cancelled = PostgresError(.cancelled)
    static let shutDown = PostgresError(.unavailable, reason: "the client is shut down")
    static let connectionLost = PostgresError(.unavailable, reason: "the connection was lost")
}
