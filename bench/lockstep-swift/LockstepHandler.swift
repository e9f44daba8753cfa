// The echo, and after each turn what its clients do next. One thread, the program's only one.
import BenchClient
import Reactor

struct Counts {
    var messages: UInt64 = 0
    var systemCalls: UInt64 = 0
}

final class LockstepHandler: ReactorHandler {
    private enum Phase {
        case opening
        /// Messages of the round that have not been echoed yet.
        case echoing(UInt64)
        /// All answers are queued, and leave with the next turn.
        case echoed
        case answering
    }

    private static let warmUpRounds = 20

    private let echo = EchoHandler()
    // Unsafe, because a reactor's handler has to be Sendable; there is no other thread here.
    private nonisolated(unsafe) let clients: OpaquePointer
    private nonisolated(unsafe) var port: UInt16 = 0
    private nonisolated(unsafe) var phase = Phase.opening
    private nonisolated(unsafe) var roundsLeft: Int
    private nonisolated(unsafe) var warmUpLeft = LockstepHandler.warmUpRounds
    private(set) nonisolated(unsafe) var counts = Counts()

    init(_ plan: lockstep_plan, rounds: Int) {
        var plan = plan
        clients = lockstep_clients_create(&plan)
        roundsLeft = rounds
    }

    deinit {
        lockstep_clients_destroy(clients)
    }

    func started(on reactor: Reactor) {
        reactor.wake()
    }

    func begin(port: UInt16) {
        self.port = port
    }

    func drain(_ batch: borrowing EventBatch, on reactor: Reactor) {
        echo.drain(batch, on: reactor)
        if case .echoing(let left) = phase {
            let left = left - UInt64(batch.count)
            phase = left == 0 ? .echoed : .echoing(left)
        }
    }

    func turned(on reactor: Reactor) {
        switch phase {
        case .opening:
            if lockstep_clients_open(clients, port) == 1 { nextRound(on: reactor) } else { reactor.wake() }
        case .answering:
            if lockstep_clients_answered(clients) == 1 { nextRound(on: reactor) } else { reactor.wake() }
        case .echoed:
            // The turn that sends says nothing when all has left.
            phase = .answering
            reactor.wake()
        case .echoing:
            break
        }
    }

    private func nextRound(on reactor: Reactor) {
        if warmUpLeft > 0 {
            warmUpLeft -= 1
        } else {
            if counts.messages == 0 { counts.systemCalls = reactor.statistics.systemCalls }
            guard roundsLeft > 0 else { return end(on: reactor) }
            roundsLeft -= 1
            counts.messages += lockstep_clients_round(clients)
        }
        phase = .echoing(lockstep_clients_round(clients))
        lockstep_clients_send(clients)
    }

    private func end(on reactor: Reactor) {
        counts.systemCalls = reactor.statistics.systemCalls - counts.systemCalls
        reactor.stop()
    }
}
