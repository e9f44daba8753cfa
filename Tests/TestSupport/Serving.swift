// A service with a port, as its node runs it.
import Logging
import ServiceLifecycle

/// Runs a service until `body` is done with its port, and ends it as a node that drains does.
/// - Parameter make: the service, and what it has to call once it listens.
public func withServing<Value>(
    _ make: (_ listens: @escaping @Sendable (Int) async -> Void) -> any Service, _ body: (_ port: Int) async throws -> Value
) async throws -> Value {
    let (ports, open) = AsyncStream.makeStream(of: Int.self)
    let service = make { open.yield($0) }
    let group = ServiceGroup(services: [service], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask {
            defer { open.finish() }
            try await group.run()
        }
        guard let port = await ports.first(where: { _ in true }) else {
            try await tasks.waitForAll()
            throw CancellationError()
        }
        do {
            let value = try await body(port)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            return value
        } catch {
            await group.triggerGracefulShutdown()
            throw error
        }
    }
}
