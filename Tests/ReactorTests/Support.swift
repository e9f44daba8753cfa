// What the reactor's tests share: a reactor that ends with the test, and handlers.
import Glibc
import Reactor
import Synchronization
import Testing

/// Every suite hangs under this one, so that the machine's few cores serve one test at a time.
@Suite(.serialized) enum ReactorTests {}

/// Runs a test beside one reactor on a free port.
func withReactor<Handler: ReactorHandler>(
    _ handler: Handler, settings: ReactorSettings = ReactorSettings(),
    _ body: (Reactor, UInt16) async throws -> Void
) async throws {
    let group = try await ReactorGroup.start(
        count: 1, settings: settings, address: "127.0.0.1", port: 0
    ) { _ in handler }
    do {
        try await body(group.reactors[0], group.port)
    } catch {
        await group.stop()
        throw error
    }
    await group.stop()
}

/// Not pthread_self, which the optimiser takes for a constant of a function: it doesn't ask again after a suspension.
func currentThread() -> String {
    let name = [UInt8](unsafeUninitializedCapacity: 64) { buffer, count in
        count = max(0, readlink("/proc/thread-self", buffer.baseAddress!, buffer.count))
    }
    return String(decoding: name, as: UTF8.self)
}

/// Answers each message with itself, and remembers the thread it runs on and what it has seen.
final class Echo: ReactorHandler {
    struct Seen: Equatable {
        let kind: Event.Kind
        let payload: [UInt8]
        var subprotocol: Int?
    }

    let thread = Mutex<String?>(nil)
    let seen = Mutex<[Seen]>([])

    func started(on reactor: Reactor) {
        thread.withLock { $0 = currentThread() }
    }

    func drain(_ batch: borrowing EventBatch, on reactor: Reactor) {
        batch.forEach { event in
            let entry = Seen(
                kind: event.kind, payload: event.copyPayload(),
                subprotocol: event.kind == .opened ? event.subprotocol : nil)
            seen.withLock { $0.append(entry) }
            if event.kind == .message { _ = reactor.sendBack(event) }
        }
    }

    func turned(on reactor: Reactor) {}
}

/// Keeps the payload of "keep..." without copying it, gives it back on "give", and echoes everything else.
final class Keeper: ReactorHandler {
    /// Only the reactor's thread touches it.
    private nonisolated(unsafe) var kept: PayloadLease?

    func started(on reactor: Reactor) {}

    func drain(_ batch: borrowing EventBatch, on reactor: Reactor) {
        batch.forEach { event in
            guard event.kind == .message else { return }
            if event.withPayload({ $0.starts(with: "keep".utf8) }) {
                kept = event.leasePayload()
            } else if event.withPayload({ $0.elementsEqual("give".utf8) }) {
                give(to: event.connection, on: reactor)
            } else {
                _ = reactor.sendBack(event)
            }
        }
    }

    private func give(to connection: ConnectionID, on reactor: Reactor) {
        guard let lease = kept.take() else { return }
        _ = lease.withBytes { reactor.send($0, as: .binary, to: connection) }
    }

    func turned(on reactor: Reactor) {}
}
