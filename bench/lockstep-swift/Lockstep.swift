// The Swift loop and its clients in one thread, in lock step: the loop is the one that `ringway echo` and the gateway
// run, and its clients send and read between two of its turns, so that every turn finds the same work in every run.
// What callgrind counts inside of `measured` without the clients is a figure without noise; gate.py takes the difference
// of two runs, which leaves out what comes before and after the rounds.
//
//   lockstep-swift [--connections N] [--depth N] [--size BYTES] [--rounds N]
//
// Prints the messages of the rounds and the reactor's system calls meanwhile. No Swift concurrency: valgrind can't follow
// its threads.
import ArgumentParser
import BenchClient
import Reactor

@main
struct Lockstep: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Echo in lock step with clients, to be counted.")

    @Option(help: "Clients.")
    var connections: UInt32 = 100

    @Option(help: "Messages in flight each.")
    var depth: UInt32 = 1

    @Option(help: "Bytes a message.")
    var size = 16

    @Option(help: "Rounds after those that warm up.")
    var rounds = 200

    func run() throws {
        let plan = lockstep_plan(
            size: size, connections: connections, depth: depth, fan_out: 0, raw: 0, channel: nil)
        let handler = LockstepHandler(plan, rounds: rounds)
        try measured {
            try Reactor.run(settings: ReactorSettings(), address: "127.0.0.1", port: 0, handler: handler) { _, port in
                handler.begin(port: port)
            }
        }
        print("messages \(handler.counts.messages) syscalls \(handler.counts.systemCalls)")
    }
}

@inline(never)
private func measured(_ loop: () throws -> Void) rethrows {
    try loop()
}
