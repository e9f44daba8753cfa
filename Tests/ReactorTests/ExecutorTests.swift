// Swift jobs on a reactor's thread: where they run, that all of them do, and what they do not stop.
import Foundation
import Reactor
import TestSupport
import Testing

extension ReactorTests {
    @Suite struct ExecutorTests {
        @Test func task__runs_on_the_reactor_and_returns_to_it_after_a_sleep() async throws {
            let echo = Echo()
            try await withReactor(echo) { reactor, _ in
                let threads = await Task(executorPreference: reactor) {
                    let before = currentThread()
                    try? await Task.sleep(for: .milliseconds(5))
                    return [before, currentThread()]
                }.value
                let thread = echo.thread.withLock { $0 }
                #expect(threads == [thread, thread])
                #expect(currentThread() != thread)
            }
        }

        @Test func actor__is_isolated_to_the_reactor() async throws {
            let echo = Echo()
            try await withReactor(echo) { reactor, _ in
                let pinned = Pinned(reactor)
                let thread = echo.thread.withLock { $0 }
                #expect(await pinned.thread() == thread)
                #expect(await pinned.threadAfterSleep() == thread)
                // What a handler does: it is on the thread already, so it may enter without waiting.
                let entered = await Task(executorPreference: reactor) { pinned.threadOfAHandler() }.value
                #expect(entered == thread)
            }
        }

        @Test func jobs_from_many_threads__all_run_one_at_a_time() async throws {
            try await withReactor(Echo()) { reactor, _ in
                let pinned = Pinned(reactor)
                let (threads, perThread) = (8, 2000)
                for _ in 0..<threads {
                    Thread.detachNewThread {
                        for _ in 0..<perThread { Task { await pinned.add() } }
                    }
                }
                var count = 0
                for _ in 0..<500 where count < threads * perThread {
                    try await Task.sleep(for: .milliseconds(20))
                    count = await pinned.count
                }
                #expect(count == threads * perThread)
            }
        }

        @Test func jobs_that_make_jobs__do_not_starve_the_sockets() async throws {
            try await withReactor(Echo()) { reactor, port in
                let pinned = Pinned(reactor)
                let spinner = Task(executorPreference: reactor) {
                    while !Task.isCancelled { await Task.yield() }
                }
                let peer = try WebSocketPeer(port: port)
                for number in 0..<100 {
                    try peer.send("\(number)")
                    #expect(try peer.receive().text == "\(number)")
                }
                #expect(await pinned.thread() != currentThread())
                spinner.cancel()
                await spinner.value
            }
        }

        @Test func reactor__counts_what_passes() async throws {
            try await withReactor(Echo()) { reactor, port in
                let peer = try WebSocketPeer(port: port)
                try peer.send("one")
                #expect(try peer.receive().text == "one")
                let statistics = await Task(executorPreference: reactor) { reactor.statistics }.value
                #expect(statistics.connections == 1)
                #expect(statistics.accepted == 1)
                #expect(statistics.messagesIn == 1)
                #expect(statistics.messagesOut == 1)
            }
        }
    }
}

private actor Pinned {
    private let reactor: Reactor
    private(set) var count = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    init(_ reactor: Reactor) {
        self.reactor = reactor
    }

    func add() {
        count += 1
    }

    func thread() -> String { currentThread() }

    nonisolated func threadOfAHandler() -> String {
        assumeIsolated { $0.thread() }
    }

    func threadAfterSleep() async -> String {
        try? await Task.sleep(for: .milliseconds(5))
        return currentThread()
    }
}
