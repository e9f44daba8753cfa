// What happens when time passes. Deadlines aren't sorted: the loop knows the earliest there may be, and when that comes
// it looks at all of them (few: the waiters, and what is under way on the connections). A query that ends in time costs
// nothing here. Loop only.

extension Pool {
    func sweep() {
        sweepWaiters()
        for link in links { sweep(link) }
        for listener in listeners.values { sweep(listener) }
        if let shutdownDeadline {
            if due(shutdownDeadline) { for link in links { drop(link, because: nil) } }
        }
    }

    private func sweepWaiters() {
        waiters.removeAll { entry in
            guard due(entry.deadline) else { return false }
            entry.waiter.fail(
                links.isEmpty
                    ? PostgresError(.unavailable, reason: "no connection could be made in time")
                    : PostgresError(.poolExhausted, reason: "no connection became free in time"))
            return true
        }
        // After a failed attempt the dispatch that follows starts the next one, or asks to be woken for it.
    }

    func sweep(_ link: Link) {
        for segment in Array(link.inFlight) + Array(link.held) {
            guard let deadline = segment.deadline, due(deadline) else { continue }
            if segment.purpose == .caller {
                giveUp(segment, on: link, PostgresError(.timeout))
            } else {
                link.markBroken()
            }
        }
        // The server neither answered nor took the cancel request: the connection's state can't be known any more.
        if let window = link.cancelWindow, due(window.deadline) { link.markBroken() }
        settle(link)
    }
}
