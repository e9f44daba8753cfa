// Whether this node takes calls: asked by /readyz and by gRPC's health service, which is here, too. Both say the same.
//
// The actor asks at most twice a second however many want to know, because anybody may.
import Contract
import GRPCCore
import HTTPAPI
import ServiceKit

actor NodeHealth {
    private static let memory: Duration = .milliseconds(500)

    private enum Stage: String {
        case starting, serving, draining
    }

    private let ask: @Sendable () async -> NodeReadiness
    private var stage = Stage.starting
    private var asking: Task<NodeReadiness, Never>?
    private var known: (readiness: NodeReadiness, at: ContinuousClock.Instant)?

    init(ask: @escaping @Sendable () async -> NodeReadiness) {
        self.ask = ask
    }

    var isDraining: Bool { stage == .draining }

    /// All doors are open: until now the node was not ready, although the operations port answered.
    func begin() {
        stage = .serving
    }

    /// From now on the node is not ready, so that balancers send nobody to it.
    func drain() {
        stage = .draining
    }

    func readiness() async -> NodeReadiness {
        var readiness = await latest()
        if stage != .serving { readiness.problems["node"] = stage.rawValue }
        return readiness
    }

    private func latest() async -> NodeReadiness {
        if let known, .now - known.at < Self.memory { return known.readiness }
        let asking = asking ?? Task { await ask() }
        self.asking = asking
        let readiness = await asking.value
        if self.asking == asking {
            self.asking = nil
            known = (readiness, .now)
        }
        return readiness
    }
}

/// grpc.health.v1.Health, at the network's door only.
struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
    typealias Status = Grpc_Health_V1_HealthCheckResponse.ServingStatus

    /// Streams at a time. They need no token, so their number is what bounds them.
    private static let watchersMax = 100
    private static let watchInterval: Duration = .milliseconds(500)

    /// The services that stand and fall with the node, and the node itself, which has no name. Reflection needs nothing.
    private static let names = Set(
        AccessPolicy.methods.keys.filter { !$0.hasPrefix("grpc.reflection.") }
            .compactMap { $0.split(separator: "/").first.map(String.init) } + [""])

    private let health: NodeHealth
    private let watchers = Places(Self.watchersMax)

    init(health: NodeHealth) {
        self.health = health
    }

    func check(
        request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthCheckResponse {
        let status = await status(of: request.service)
        guard status != .serviceUnknown else { throw RPCError(code: .notFound, message: "no such service") }
        return .with { $0.status = status }
    }

    func list(
        request: Grpc_Health_V1_HealthListRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthListResponse {
        let status = await status(of: "")
        return .with {
            for name in Self.names { $0.statuses[name] = .with { $0.status = status } }
        }
    }

    func watch(
        request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
        context: ServerContext
    ) async throws {
        guard watchers.enter() else {
            throw RPCError(code: .resourceExhausted, message: "\(Self.watchersMax) streams are open; ask Check instead")
        }
        defer { watchers.leave() }
        var told: Status?
        while !context.cancellation.isCancelled {
            let status = await status(of: request.service)
            if status != told { try await response.write(.with { $0.status = status }) }
            told = status
            if await health.isDraining { return }
            try await Task.sleep(for: Self.watchInterval)
        }
    }

    private func status(of service: String) async -> Status {
        guard Self.names.contains(service) else { return .serviceUnknown }
        return await health.readiness().problems.isEmpty ? .serving : .notServing
    }
}
