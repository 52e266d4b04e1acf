//! MP4: pictures and sound in one file, index first, a second of each in turn.

use mp4_atom::{
    Audio, Avc1, Avcc, Codec, Dfla, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode, Error,
    Flac, FlacMetadataBlock, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvhd, Smhd, Stbl, Stco,
    Stsc, StscEntry, Stsd, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd,
};

use super::timing::{FRAME_TICKS, TICKS_PER_SECOND, Timing};
use super::{flac, h264};

/// Frames, and blocks of sound, that stand together in the file: about a second.
const SAMPLES_PER_CHUNK: usize = 16;

const VIDEO_TRACK: u32 = 1;
const AUDIO_TRACK: u32 = 2;

/// A clip of this length; [`Timing`] says how it is met.
pub(super) fn make(length_ms: u64, seed: u64) -> Result<Vec<u8>, Error> {
    let timing = Timing::of(length_ms);
    let pictures: Vec<Vec<u8>> = (0..timing.frames)
        .map(|frame| picture(frame, seed))
        .collect();
    let sounds: Vec<Vec<u8>> = sound_blocks(timing)
        .map(|(i, n)| flac::frame(i, n, seed))
        .collect();

    let mut file = Vec::new();
    ftyp().encode(&mut file)?;
    // The index stands in front, so its own length is needed before the places in it are known.
    let mut layout = Layout::of(&pictures, &sounds);
    let index_bytes = encoded(&moov(timing, &layout)?)?.len();
    const MDAT_HEADER_BYTES: usize = 8;
    layout.shift(file.len() + index_bytes + MDAT_HEADER_BYTES)?;
    file.extend(encoded(&moov(timing, &layout)?)?);

    let body_bytes = pictures.iter().chain(&sounds).map(Vec::len).sum();
    mp4_atom::Header {
        kind: FourCC::new(b"mdat"),
        size: Some(body_bytes),
    }
    .encode(&mut file)?;
    for (pictures, sounds) in turns(&pictures, &sounds) {
        pictures
            .iter()
            .chain(sounds)
            .for_each(|sample| file.extend_from_slice(sample));
    }
    Ok(file)
}

/// One picture as the sample of an MP4 track: its NAL unit behind its length.
fn picture(frame: u32, seed: u64) -> Vec<u8> {
    let unit = h264::picture(frame, seed);
    let mut sample = Vec::with_capacity(4 + unit.len());
    sample.extend((unit.len() as u32).to_be_bytes());
    sample.extend(unit);
    sample
}

/// Number and size in samples of each block of sound. One sample is one tick.
fn sound_blocks(timing: Timing) -> impl Iterator<Item = (u32, u16)> {
    let block = u32::from(flac::BLOCK_SAMPLES);
    let blocks = timing.total_ticks.div_ceil(block);
    (0..blocks).map(move |index| {
        (
            index,
            (timing.total_ticks - index * block).min(block) as u16,
        )
    })
}

/// Pictures and sounds in the order of the file, one pair of chunks after the other.
fn turns<'a, T>(pictures: &'a [T], sounds: &'a [T]) -> impl Iterator<Item = (&'a [T], &'a [T])> {
    let count = pictures.len().max(sounds.len()).div_ceil(SAMPLES_PER_CHUNK);
    let chunk = |samples: &'a [T], turn: usize| {
        let first = (turn * SAMPLES_PER_CHUNK).min(samples.len());
        &samples[first..(first + SAMPLES_PER_CHUNK).min(samples.len())]
    };
    (0..count).map(move |turn| (chunk(pictures, turn), chunk(sounds, turn)))
}

/// Where the samples of both tracks are.
struct Layout {
    video: Samples,
    audio: Samples,
}

/// Sizes of one track's samples, and place and number of samples of each of its chunks.
#[derive(Default)]
struct Samples {
    sizes: Vec<u32>,
    chunk_offsets: Vec<u32>,
    chunk_lengths: Vec<u32>,
}

impl Samples {
    /// Adds a chunk at an offset and gives the offset behind it.
    fn push_chunk(&mut self, samples: &[Vec<u8>], offset: u32) -> u32 {
        if samples.is_empty() {
            return offset;
        }
        self.chunk_offsets.push(offset);
        self.chunk_lengths.push(samples.len() as u32);
        self.sizes
            .extend(samples.iter().map(|sample| sample.len() as u32));
        offset
            + samples
                .iter()
                .map(|sample| sample.len() as u32)
                .sum::<u32>()
    }

    /// Chunks by runs of equal length, as the box wants them.
    fn runs(&self) -> Vec<StscEntry> {
        let mut runs: Vec<StscEntry> = Vec::new();
        for (first_chunk, &samples_per_chunk) in (1..).zip(&self.chunk_lengths) {
            if runs
                .last()
                .is_none_or(|run| run.samples_per_chunk != samples_per_chunk)
            {
                let sample_description_index = 1;
                runs.push(StscEntry {
                    first_chunk,
                    samples_per_chunk,
                    sample_description_index,
                });
            }
        }
        runs
    }
}

impl Layout {
    /// The layout of a body that begins at offset 0.
    fn of(pictures: &[Vec<u8>], sounds: &[Vec<u8>]) -> Self {
        let mut layout = Self {
            video: Samples::default(),
            audio: Samples::default(),
        };
        let mut offset = 0;
        for (pictures, sounds) in turns(pictures, sounds) {
            offset = layout.video.push_chunk(pictures, offset);
            offset = layout.audio.push_chunk(sounds, offset);
        }
        layout
    }

    /// Moves the body to where it begins in the file.
    fn shift(&mut self, by: usize) -> Result<(), Error> {
        let by = u32::try_from(by).map_err(|_| Error::OutOfBounds)?;
        let offsets = self
            .video
            .chunk_offsets
            .iter_mut()
            .chain(&mut self.audio.chunk_offsets);
        offsets.for_each(|offset| *offset += by);
        Ok(())
    }
}

fn encoded(moov: &Moov) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    moov.encode(&mut bytes)?;
    Ok(bytes)
}

fn ftyp() -> Ftyp {
    let brands = [b"isom", b"iso2", b"avc1", b"mp41"];
    Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 512,
        compatible_brands: brands.map(FourCC::new).to_vec(),
    }
}

fn moov(timing: Timing, layout: &Layout) -> Result<Moov, Error> {
    let mvhd = Mvhd {
        timescale: TICKS_PER_SECOND,
        duration: timing.total_ticks.into(),
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: AUDIO_TRACK + 1,
        ..Mvhd::default()
    };
    let trak = vec![
        video_track(timing, &layout.video)?,
        audio_track(timing, &layout.audio)?,
    ];
    Ok(Moov {
        mvhd,
        trak,
        ..Moov::default()
    })
}

fn video_track(timing: Timing, samples: &Samples) -> Result<Trak, Error> {
    let sps = h264::sequence_parameters();
    let visual = Visual {
        data_reference_index: 1,
        width: h264::WIDTH,
        height: h264::HEIGHT,
        ..Visual::default()
    };
    let avcc = Avcc::new(&sps, &h264::picture_parameters())?;
    let codec = Codec::Avc1(Avc1 {
        visual,
        avcc,
        ..Avc1::default()
    });
    let times = stts(timing.frames, FRAME_TICKS, timing.last_frame_ticks());
    let head = Tkhd {
        track_id: VIDEO_TRACK,
        width: h264::WIDTH.into(),
        height: h264::HEIGHT.into(),
        ..track_head(timing)
    };
    let media = Minf {
        vmhd: Some(Vmhd::default()),
        ..media(codec, times, samples)
    };
    Ok(track(head, timing, b"vide", media))
}

fn audio_track(timing: Timing, samples: &Samples) -> Result<Trak, Error> {
    let sample_rate = u16::try_from(flac::SAMPLE_RATE).map_err(|_| Error::OutOfBounds)?;
    let audio = Audio {
        data_reference_index: 1,
        channel_count: 1,
        sample_size: 16,
        sample_rate: sample_rate.into(),
    };
    let stream = FlacMetadataBlock::StreamInfo {
        minimum_block_size: flac::BLOCK_SAMPLES,
        maximum_block_size: flac::BLOCK_SAMPLES,
        minimum_frame_size: [0; 3].into(), // unknown
        maximum_frame_size: [0; 3].into(), // unknown
        sample_rate: flac::SAMPLE_RATE,
        num_channels_minus_one: 0,
        bits_per_sample_minus_one: 15,
        number_of_interchannel_samples: timing.total_ticks.into(),
        md5_checksum: vec![0; 16], // not given
    };
    let codec = Codec::Flac(Flac {
        audio,
        dfla: Dfla {
            blocks: vec![stream],
        },
    });
    let (count, last) = sound_blocks(timing).last().unwrap_or_default();
    let times = stts(count + 1, flac::BLOCK_SAMPLES.into(), last.into());
    let head = Tkhd {
        track_id: AUDIO_TRACK,
        volume: 1.into(),
        ..track_head(timing)
    };
    let media = Minf {
        smhd: Some(Smhd::default()),
        ..media(codec, times, samples)
    };
    Ok(track(head, timing, b"soun", media))
}

fn track_head(timing: Timing) -> Tkhd {
    Tkhd {
        duration: timing.total_ticks.into(),
        enabled: true,
        in_movie: true,
        ..Tkhd::default()
    }
}

/// A track that is presented from its first sample to its last.
fn track(tkhd: Tkhd, timing: Timing, handler: &[u8; 4], minf: Minf) -> Trak {
    let duration = u64::from(timing.total_ticks);
    let whole = ElstEntry {
        segment_duration: duration,
        media_time: Some(0),
        media_rate: 1.into(),
    };
    let timescale = TICKS_PER_SECOND;
    let mdhd = Mdhd {
        timescale,
        duration,
        language: "und".to_owned(),
        ..Mdhd::default()
    };
    let hdlr = Hdlr {
        handler: FourCC::new(handler),
        name: "simulated".to_owned(),
    };
    Trak {
        tkhd,
        edts: Some(Edts {
            elst: Some(Elst {
                entries: vec![whole],
            }),
        }),
        mdia: Mdia { mdhd, hdlr, minf },
        ..Trak::default()
    }
}

fn media(codec: Codec, stts: Stts, samples: &Samples) -> Minf {
    let stbl = Stbl {
        stsd: Stsd {
            codecs: vec![codec],
        },
        stts,
        stsc: Stsc {
            entries: samples.runs(),
        },
        stsz: Stsz {
            samples: StszSamples::Different {
                sizes: samples.sizes.clone(),
            },
        },
        stco: Some(Stco {
            entries: samples.chunk_offsets.clone(),
        }),
        ..Stbl::default()
    };
    let same_file = DrefEntry::Url(Url::default());
    Minf {
        dinf: Dinf {
            dref: Dref {
                entries: vec![same_file],
            },
        },
        stbl,
        ..Minf::default()
    }
}

/// Times of `count` samples: all of the same length but the last.
fn stts(count: u32, sample_delta: u32, last_delta: u32) -> Stts {
    let mut entries = vec![SttsEntry {
        sample_count: count - 1,
        sample_delta,
    }];
    match entries.first_mut() {
        Some(first) if last_delta == sample_delta => first.sample_count = count,
        Some(_) | None => entries.push(SttsEntry {
            sample_count: 1,
            sample_delta: last_delta,
        }),
    }
    entries.retain(|entry| entry.sample_count > 0);
    Stts { entries }
}
