// The life of the pool's connections: opened, used, cleared after a lease, lost. Loop only.
import CPostgres
import EventLoop
import Logging

extension Pool {
    func link(_ id: LinkID) -> Link? {
        links.first { $0.id == id } ?? listeners.values.lazy.compactMap(\.link).first { $0.id == id }
    }

    func link(holding lease: Lease) -> Link? {
        links.first { link in
            guard link.id == lease.link, case .leased(lease.serial, _) = link.role else { return false }
            return true
        }
    }

    // MARK: Opening

    func poolOpened(_ result: Result<OpenedConnection, PostgresError>) {
        connecting -= 1
        switch result {
        case .success(let opened):
            if shutdownDeadline != nil { return }
            if failures > 0 { logger.notice("Postgres is back") }
            failures = 0
            let link = adopt(opened)
            links.append(link)
            setUp(link)
        case .failure(let error):
            if failures == 0 { logger.warning("Postgres can't be reached", metadata: ["error": "\(error)"]) }
            failures += 1
            nextAttempt = now + Pool.backoff(failures)
            // Those who wait may still be served by the connections that live; with none, they know at once.
            if links.isEmpty && connecting == 0 { failWaiters(error) }
        }
    }

    /// 100 ms, doubling up to a second, each shortened by up to a fifth so that clients don't come back in step.
    static func backoff(_ failures: Int) -> Duration {
        let milliseconds = min(1000, 50 << min(failures, 5))
        return .milliseconds(milliseconds * Int.random(in: 80...100) / 100)
    }

    func adopt(_ opened: OpenedConnection) -> Link {
        let link = Link(
            opened, id: LinkID(number: mailbox.nextNumber()),
            statementCacheSize: configuration.preparedStatements ? configuration.statementCacheSize : nil)
        poller.add(link.descriptor, token: link.id.number, interest: .read)
        return link
    }

    /// Goes ahead of the first statement, unawaited.
    func setUp(_ link: Link) {
        submit(Segment(.setup, "SET timezone TO 'UTC'"), on: link)
    }

    // MARK: Using

    func submit(_ segment: Segment, on link: Link) {
        let timeout = segment.purpose == .caller ? segment.ticket.timeout : .seconds(5)
        if let timeout {
            let deadline = now + timeout
            segment.deadline = deadline
            nextSweep = min(nextSweep, deadline)
        }
        link.submit(segment, now: now)
        if link.isBroken { drop(link, because: nil) } else { watch(link) }
    }

    func receive(_ link: Link) {
        link.flush()
        for segment in link.receive(now: now) { finish(segment, on: link) }
        if case .listener(let id) = link.role { deliverNotifications(of: link, to: id) }
        link.cancelAbandoned(now: now, mailbox: mailbox)
        if let deadline = link.cancelWindow?.deadline { nextSweep = min(nextSweep, deadline) }
        settle(link)
    }

    private func finish(_ segment: Segment, on link: Link) {
        switch segment.purpose {
        case .caller:
            if segment.isAbandoned { break }
            guard let failure = segment.failure else { return segment.answer(.success(segment.rows)) }
            if mayRepeat(segment, on: link, after: failure) {
                let deadline = now + configuration.acquireTimeout
                waiters.prepend((.single(segment.repeated()), deadline))
                nextSweep = min(nextSweep, deadline)
            } else {
                segment.answer(.failure(failure))
            }
            // A primary that has become a standby: the next connection will find its successor.
            if failure.sqlState == PostgresError.readOnlyTransaction { link.isRetiring = true }
        case .setup, .rollback:
            if segment.failure != nil { link.markBroken() }
        case .listen:
            if let failure = segment.failure {
                logger.warning("LISTEN is refused", metadata: ["error": "\(failure)"])
                link.markBroken()
            } else {
                listenInForce(link)
            }
        case .deallocate, .probe:
            break
        }
    }

    /// A single query that was rolled back through no fault of its own: a cancel request meant for its neighbour hit
    /// it, or its prepared statement had gone stale.
    private func mayRepeat(_ segment: Segment, on link: Link, after failure: PostgresError) -> Bool {
        guard link.role == .shared, !segment.isRepeated else { return false }
        switch failure.sqlState {
        case PostgresError.queryCancelled: return link.cancelWindow != nil
        case PostgresError.unknownStatement, PostgresError.featureNotSupported: return configuration.preparedStatements
        default: return false
        }
    }

    /// Its caller gets `error` now; the server is asked to stop.
    func giveUp(_ segment: Segment, on link: Link, _ error: PostgresError) {
        segment.deadline = nil
        segment.answer(.failure(error))
        if case .leased(_, isTransaction: true) = link.role { link.doom = error }
        link.cancelAbandoned(now: now, mailbox: mailbox)
        if let deadline = link.cancelWindow?.deadline { nextSweep = min(nextSweep, deadline) }
    }

    /// After anything that may have changed a link: drops a broken one, sends what was held back, and brings one whose
    /// lease is over back to the pool, with no transaction open.
    func settle(_ link: Link) {
        if !link.isBroken { link.sendHeld(now: now) }
        if link.isBroken { return drop(link, because: nil) }
        watch(link)
        guard link.isQuiet else { return }
        if link.role == .returning {
            if link.isInTransaction { return submit(Segment(.rollback, "ROLLBACK"), on: link) }
            link.role = .shared
            link.doom = nil
        }
        guard link.role == .shared else { return }
        if shutdownDeadline != nil || link.isRetiring { return drop(link, because: "it is of no more use") }
        for name in link.takeDroppedStatements() {
            submit(Segment(.deallocate, PostgresQuery(sql: "DEALLOCATE \(name)")), on: link)
        }
    }

    private func watch(_ link: Link) {
        guard link.wantsWrite != link.watchesWrite else { return }
        link.watchesWrite = link.wantsWrite
        poller.change(link.descriptor, token: link.id.number, interest: link.wantsWrite ? [.read, .write] : .read)
    }

    // MARK: Closing

    /// Closes a connection (its deinit does); what was under way on it is `.unavailable`.
    func drop(_ link: Link, because reason: String?) {
        guard self.link(link.id) === link else { return }
        poller.remove(link.descriptor)
        for segment in link.takeUnfinished() {
            segment.answer(.failure(segment.failure ?? .connectionLost))
        }
        if case .listener(let id) = link.role { return listenerLost(id) }
        links.removeAll { $0 === link }
        if shutdownDeadline == nil {
            logger.debug("A Postgres connection is closed", metadata: ["reason": "\(reason ?? "lost")"])
        }
    }
}
