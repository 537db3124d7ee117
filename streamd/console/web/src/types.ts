// Members of AWS's shapes, and of the console's own calls, as far as the page reads them.

export interface BoundingBox {
  Left: number;
  Top: number;
  Width: number;
  Height: number;
}

export interface Point {
  X: number;
  Y: number;
}

export interface Region {
  BoundingBox?: BoundingBox;
  Polygon?: Point[];
}

export type Status = "STOPPED" | "STARTING" | "RUNNING" | "FAILED" | "STOPPING" | "UPDATING";

export interface Find {
  Label: string;
  Confidence: number;
  FaceId?: string;
  ExternalImageId?: string;
  Similarity?: number;
  BoundingBox: BoundingBox;
}

export interface Sighting extends Find {
  StreamProcessorName: string;
  Id: string;
  StartedAt: number;
  LastSeenAt: number;
  Frames: number;
}

export interface StreamProcessor {
  Name: string;
  Status: Status;
  StatusMessage?: string | null;
  StreamProcessorArn?: string;
  CreationTimestamp?: number;
  LastUpdateTimestamp?: number;
  Input?: { KinesisVideoStream?: { Arn: string } };
  Output?: {
    KinesisDataStream?: { Arn: string } | null;
    S3Destination?: { Bucket: string; KeyPrefix?: string | null } | null;
  };
  Settings?: {
    FaceSearch?: { CollectionId: string; FaceMatchThreshold: number } | null;
    ConnectedHome?: { Labels: string[]; MinConfidence: number } | null;
  };
  NotificationChannel?: { SNSTopicArn: string } | null;
  RegionsOfInterest?: Region[] | null;
  LastSighting?: Sighting | null;
}

export interface LiveHead {
  AnalyzedAt: number;
  ProducerTimestamp: number;
  FrameOffsetInSeconds: number;
  Finds: Find[];
}

export interface LiveState {
  State: "NOT_RUNNING" | "WAITING" | "ELSEWHERE" | "UNCHANGED";
  Owner?: string;
  StatusMessage?: string | null;
}

export interface VideoStream {
  StreamName: string;
  StreamARN?: string;
  DataRetentionInHours?: number;
  Camera: { Name: string; Source: string; IsRelayed: boolean } | null;
  State: "LIVE" | "STALLED" | "OFFLINE" | "CONNECTED" | "EMPTY" | "ELSEWHERE" | "UNKNOWN";
  LastMediaAt?: number;
}

export interface Face {
  FaceId: string;
  ImageId: string;
  ExternalImageId?: string;
  Confidence: number;
  UserId?: string;
}

/** Who or what a find is, in words. */
export function nameOf(find: Find): string {
  if (find.ExternalImageId) return find.ExternalImageId;
  if (find.FaceId) return `Face ${find.FaceId.slice(0, 8)}`;
  return find.Label === "FACE" ? "Unknown face" : find.Label;
}

export function certaintyOf(find: Find): number {
  return find.Similarity ?? find.Confidence;
}

/** The class that gives a find its colour. */
export function kindOf(find: Find): string {
  if (find.Label === "FACE") return find.FaceId ? "known" : "unknown";
  return find.Label.toLowerCase();
}

export function streamNameOf(processor: StreamProcessor): string {
  const arn = processor.Input?.KinesisVideoStream?.Arn ?? "";
  return arn.split("stream/")[1]?.split("/")[0] ?? "";
}
