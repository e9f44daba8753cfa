// The turn of a client's loop: what was posted, what is ready, what is due, and then what follows from all of it. Everything
// of the client happens on the thread that runs it. What the client does with each is its own (Postgres' Pool, RedisLoop).

package protocol Loop: AnyObject {
    associatedtype Letter: Sendable
    typealias Instant = ContinuousClock.Instant

    var mailbox: Mailbox<Letter> { get }
    var poller: Poller { get }
    /// The time of this turn. Read once a turn: a clock call costs as much as the bookkeeping of a command.
    var now: Instant { get set }
    /// No deadline lies before this.
    var nextSweep: Instant { get set }
    var isOver: Bool { get }

    func handle(_ letter: Letter)
    /// A descriptor with this token, which is not 0, has something to do.
    func handleReady(_ token: UInt64)
    /// Looks at everything that waits for its time, and asks with `due` whether that has come.
    func sweep()
    /// The turn's last step.
    func finishTurn()
}

extension Loop {
    /// The thread's body: turns until the loop is over. What is posted later is left to the caller.
    package func takeTurns() {
        poller.add(mailbox.wakeDescriptor, token: 0, interest: .read)
        var letters: [Letter] = []
        var ready: [UInt64] = []
        while !isOver {
            mailbox.take(into: &letters)
            poller.wait(milliseconds: letters.isEmpty ? millisecondsToSweep() : 0) { ready.append($0) }
            now = .now
            for letter in letters { handle(letter) }
            for token in ready {
                if token == 0 { mailbox.acknowledgeWake() } else { handleReady(token) }
            }
            letters.removeAll(keepingCapacity: true)
            ready.removeAll(keepingCapacity: true)
            if now >= nextSweep {
                nextSweep = now + .seconds(3600)
                sweep()
            }
            finishTurn()
        }
    }

    /// Says whether a moment has come; if not, the next sweep won't miss it.
    package func due(_ moment: Instant) -> Bool {
        if moment <= now { return true }
        nextSweep = min(nextSweep, moment)
        return false
    }

    /// How long the loop may sleep, rounded up so that it doesn't wake too early to do anything.
    private func millisecondsToSweep() -> Int32 {
        let left = nextSweep - .now
        if left <= .zero { return 0 }
        let (seconds, attoseconds) = left.components
        return Int32(min(seconds, 3600)) * 1000 + Int32(attoseconds / 1_000_000_000_000_000) + 1
    }
}
