// LISTEN: one connection a channel, outside of the pool, opened again whenever it is lost. Loop only.
//
// A listener's connection is silent by nature, so a dead peer would go unnoticed: a probe asks it now and then.
import CPostgres

extension Pool {
    private static let probeInterval: Duration = .seconds(15)

    func startListener(_ listener: Listener) {
        if shutdownDeadline != nil { return listener.finish() }
        listeners[listener.id] = listener
        Connector.open(.listener(listener.id), configuration, answerTo: mailbox)
    }

    func stopListener(_ id: ListenerID) {
        guard let listener = listeners.removeValue(forKey: id) else { return }
        if let link = listener.link { drop(link, because: nil) }
        listener.finish()
    }

    func listenerOpened(_ id: ListenerID, _ result: Result<OpenedConnection, PostgresError>) {
        guard let listener = listeners[id] else { return }
        switch result {
        case .success(let opened):
            let link = adopt(opened)
            link.role = .listener(id)
            listener.phase = .connected(link, nextProbe: now + Pool.probeInterval)
            nextSweep = min(nextSweep, now + Pool.probeInterval)
            setUp(link)
            submit(Segment(.listen, listener.statement), on: link)
        case .failure(let error):
            if listener.failures == 0 {
                logger.warning("A listener can't reach Postgres", metadata: ["error": "\(error)"])
            }
            retryLater(listener)
        }
    }

    func listenInForce(_ link: Link) {
        guard case .listener(let id) = link.role, let listener = listeners[id] else { return }
        listener.failures = 0
        listener.yield(.connected)
    }

    func deliverNotifications(of link: Link, to id: ListenerID) {
        while let notification = PQnotifies(link.connection) {
            listeners[id]?.yield(.notification(String(cString: notification.pointee.extra)))
            PQfreemem(notification)
        }
    }

    func listenerLost(_ id: ListenerID) {
        guard let listener = listeners[id] else { return }
        listener.yield(.disconnected)
        retryLater(listener)
    }

    func sweep(_ listener: Listener) {
        switch listener.phase {
        case .connecting:
            break
        case .waiting(let until):
            guard due(until) else { return }
            listener.phase = .connecting
            Connector.open(.listener(listener.id), configuration, answerTo: mailbox)
        case .connected(let link, let nextProbe):
            if due(nextProbe) {
                listener.phase = .connected(link, nextProbe: now + Pool.probeInterval)
                nextSweep = min(nextSweep, now + Pool.probeInterval)
                submit(Segment(.probe, "SELECT 1"), on: link)
            }
            sweep(link)
        }
    }

    private func retryLater(_ listener: Listener) {
        listener.failures += 1
        let until = now + Pool.backoff(listener.failures)
        listener.phase = .waiting(until: until)
        nextSweep = min(nextSweep, until)
    }
}
