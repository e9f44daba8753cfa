// /livez, /readyz and /metrics, on a port of their own that no client sees.
import Hummingbird
import Logging

/// What operators and their machines ask a node.
public struct OperationsAPI: Sendable {
    /// Why the node is not ready, by component; empty when it is.
    public typealias Readiness = @Sendable () async -> [String: String]
    /// In Prometheus' text format (version 0.0.4).
    public typealias Metrics = @Sendable () async -> String

    private let readiness: Readiness
    private let metrics: Metrics

    public init(readiness: @escaping Readiness, metrics: @escaping Metrics) {
        self.readiness = readiness
        self.metrics = metrics
    }

    public func application(host: String, port: Int, logger: Logger) -> some ApplicationProtocol {
        let router = Router()
        router.get("livez") { _, _ in "ok\n" }
        router.get("readyz") { [readiness] _, _ in
            let problems = await readiness()
            let lines = problems.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }
            return Response(
                status: problems.isEmpty ? .ok : .serviceUnavailable, headers: [.contentType: "text/plain"],
                body: .init(byteBuffer: ByteBuffer(string: problems.isEmpty ? "ready\n" : lines.joined())))
        }
        router.get("metrics") { [metrics] _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4"],
                body: .init(byteBuffer: ByteBuffer(string: await metrics())))
        }
        return Application(
            router: router, configuration: .init(address: .hostname(host, port: port), serverName: nil), logger: logger)
    }
}
