// Where to connect: over gRPC and HTTP.
import Contract
import GRPCCore

public struct GatewayHandler: Ringway_V1_GatewayService.SimpleServiceProtocol {
    private let url: String

    public init(url: String) {
        self.url = url
    }

    public func locateGateway(
        request: Ringway_V1_LocateGatewayRequest, context: ServerContext
    ) async throws -> Ringway_V1_LocateGatewayResponse {
        .with { $0.url = url }
    }
}
