// A client of each service of the contract, wherever the services are: generated clients over a transport, or local ones
// (LocalDoor.swift). Who holds them can't tell.
import GRPCCore

public struct ServiceClients: Sendable {
    public let auth: any Ringway_V1_AuthService.ClientProtocol
    public let profiles: any Ringway_V1_ProfileService.ClientProtocol
    public let settings: any Ringway_V1_SettingsService.ClientProtocol
    public let friendship: any Ringway_V1_FriendshipService.ClientProtocol
    public let inbox: any Ringway_V1_InboxService.ClientProtocol
    public let gateway: any Ringway_V1_GatewayService.ClientProtocol

    public init(
        auth: any Ringway_V1_AuthService.ClientProtocol, profiles: any Ringway_V1_ProfileService.ClientProtocol,
        settings: any Ringway_V1_SettingsService.ClientProtocol,
        friendship: any Ringway_V1_FriendshipService.ClientProtocol, inbox: any Ringway_V1_InboxService.ClientProtocol,
        gateway: any Ringway_V1_GatewayService.ClientProtocol
    ) {
        self.auth = auth
        self.profiles = profiles
        self.settings = settings
        self.friendship = friendship
        self.inbox = inbox
        self.gateway = gateway
    }

    /// All of them over one transport.
    public init<Transport: ClientTransport>(_ client: GRPCClient<Transport>) {
        self.init(
            auth: Ringway_V1_AuthService.Client(wrapping: client),
            profiles: Ringway_V1_ProfileService.Client(wrapping: client),
            settings: Ringway_V1_SettingsService.Client(wrapping: client),
            friendship: Ringway_V1_FriendshipService.Client(wrapping: client),
            inbox: Ringway_V1_InboxService.Client(wrapping: client),
            gateway: Ringway_V1_GatewayService.Client(wrapping: client))
    }

    /// Every call of every service, by its full name.
    public var calls: [String: any NamedCall] {
        [
            Ringway_V1_AuthService.calls(of: auth), Ringway_V1_ProfileService.calls(of: profiles),
            Ringway_V1_SettingsService.calls(of: settings), Ringway_V1_FriendshipService.calls(of: friendship),
            Ringway_V1_InboxService.calls(of: inbox), Ringway_V1_GatewayService.calls(of: gateway),
        ].reduce(into: [:]) { all, calls in all.merge(calls) { first, _ in first } }
    }
}
