// The routes of Gateway: where to connect. How a route is written: Routes.swift.
import Contract
import GRPCCore

func gatewayRoutes(_ gateway: some Ringway_V1_GatewayService.ClientProtocol) -> [Route] {
    [Route(.get, "/v1/gateway") { try await gateway.locateGateway($0, metadata: $1, options: $2) }]
}
